"""``points.npz``: samples of an object's surface, from a file that is not trusted."""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

LARGEST_ARRAY = 256 << 20  # bytes
OUTERMOST = 0.51  # the object lies in [-0.5, 0.5]^3; float16 rounds a little


def read_points(path: Path) -> NDArray[np.float32]:
    """The visible points, [N, 3] in the object frame: ``points[visible]``.

    Raises:
        InputError: The file is missing, damaged, larger than it may be, or holds other arrays.
    """
    if not path.is_file():
        raise InputError(
            f"{str(path)!r} is missing; the evaluation needs samples of the true surface: an .npz "
            "with points [N, 3] and visible [N]"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            points = _read_array(archive, "points", "f", path)
            visible = _read_array(archive, "visible", "b", path)
    except KeyError as error:
        raise InputError(f"{str(path)!r} lacks an array: {error}; write it again") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError,
            SyntaxError) as error:  # fmt: skip
        raise InputError(f"{str(path)!r} cannot be read: {error}; restore it") from error
    if points.ndim != 2 or points.shape[1] != 3 or visible.shape != points.shape[:1]:
        raise InputError(
            f"{str(path)!r} holds points of shape {points.shape} and visible of shape "
            f"{visible.shape}; they must be [N, 3] and [N]"
        )
    points = points[visible].astype(np.float32)
    if not len(points):
        raise InputError(f"{str(path)!r} holds no visible point; sample the surface again")
    if not (np.abs(points) <= OUTERMOST).all():
        raise InputError(
            f"{str(path)!r} holds points outside the object cube; every coordinate must be finite "
            "and in [-0.5, 0.5]: scale the object to the cube"
        )
    return points


def _read_array(archive: zipfile.ZipFile, name: str, kind: str, path: Path) -> NDArray:
    """One array, after its stated type and shape are held against the bytes that are there."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > LARGEST_ARRAY:
        raise InputError(
            f"{str(path)!r}: {name} has {entry.file_size} bytes; at most {LARGEST_ARRAY} are "
            "supported: store fewer points"
        )
    with archive.open(entry) as file:
        content = file.read(LARGEST_ARRAY + 1)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(stream)
    except (KeyError, ValueError) as error:
        raise InputError(f"{str(path)!r}: {name} is no NumPy array; write it again") from error
    if dtype.kind != kind or dtype.hasobject:
        wanted = "floating-point numbers" if kind == "f" else "booleans"
        raise InputError(f"{str(path)!r}: {name} has dtype {dtype}; it must hold {wanted}")
    stated, present = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if stated != present:
        raise InputError(
            f"{str(path)!r}: {name} states {stated} bytes but holds {present}; it is damaged, "
            "write it again"
        )
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
