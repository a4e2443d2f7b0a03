"""NumPy files that are not trusted: no pickles, and no memory before the header was checked."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError


def read_matrices(path: Path, shapes: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """[V, R, C] of a .npy file whose matrices have one of the ``shapes``; one matrix is [1, R, C].

    Raises:
        InputError: Names the file, what it holds, and what it must hold.
    """
    wanted = " or ".join(f"[V, {rows}, {columns}]" for rows, columns in shapes)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise InputError(
                    f"{str(path)!r} is .npy of version {version[0]}.{version[1]}; save a plain "
                    "array with numpy.save"
                )
            shape, _, dtype = read_header(file)
            rest = path.stat().st_size - file.tell()
        if (
            dtype.kind not in "fiu"
            or dtype.hasobject
            or len(shape) not in (2, 3)
            or (shape[-2:] not in shapes)
            or 0 in shape
        ):
            raise InputError(
                f"{str(path)!r} holds {dtype} {list(shape)}; it must be numbers {wanted}, "
                "at least one matrix"
            )
        if math.prod(shape) * dtype.itemsize != rest:
            raise InputError(
                f"{str(path)!r} states an array of {math.prod(shape) * dtype.itemsize} bytes, but "
                f"{rest} follow; it is damaged, restore it"
            )
        array = np.load(path, allow_pickle=False).astype(np.float64)
    except InputError:
        raise
    except Exception as error:  # NumPy parses the header as Python and raises all sorts
        raise InputError(
            f"{str(path)!r} is no .npy file that can be read: {str(error)[:200]}; save it again "
            "with numpy.save"
        ) from error
    return array[None] if array.ndim == 2 else array
