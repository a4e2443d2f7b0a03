"""NumPy files that are not trusted: no pickles, and no memory before the header was checked."""

import contextlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import check_frames
from geolrm.engine.errors import InputError

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
LARGEST_ARRAY = 512 << 20  # bytes of one array of an archive
MOST_EXPANSION, FREE_BYTES = 64, 1 << 24  # of compressed bytes, and what any array may hold
OUTERMOST = 0.51  # the object lies in [-0.5, 0.5]^3; float16 rounds a little

FLOATS, BOOLEANS, NUMBERS = "f", "b", "fiu"  # NumPy's kinds
KINDS = {FLOATS: "floating-point numbers", BOOLEANS: "booleans", NUMBERS: "numbers"}

Check = Callable[[tuple[int, ...], np.dtype], None]


def read_matrices(path: Path, shapes: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """Read matrices [V, R, C] of one of the ``shapes`` from a .npy file; a single one is [1, R, C].

    Raises:
        InputError: Names the file, what it holds, and what it must hold.
    """
    wanted = " or ".join(f"[V, {rows}, {columns}]" for rows, columns in shapes)

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        numbers = dtype.kind in "fiu" and 0 not in shape
        if not numbers or len(shape) not in (2, 3) or shape[-2:] not in shapes:
            raise InputError(
                f"{str(path)!r} holds {dtype} {list(shape)}; it must be numbers {wanted}, "
                "at least one matrix"
            )
        check_frames(1 if len(shape) == 2 else shape[0], path)

    array = _read_file(path, check)
    return array[None] if array.ndim == 2 else array


def read_table(path: Path, columns: int) -> NDArray[np.float64]:
    """Read a table [V, ``columns``] of numbers from a .npy file.

    Raises:
        InputError: Names the file, what it holds, and what it must hold.
    """

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        if dtype.kind not in "fiu" or len(shape) != 2 or shape[1] != columns or not shape[0]:
            raise InputError(
                f"{str(path)!r} holds {dtype} {list(shape)}; it must be numbers [V, {columns}], at "
                "least one row"
            )
        check_frames(shape[0], path)

    return _read_file(path, check)


def _read_file(path: Path, check: Check) -> NDArray[np.float64]:
    try:
        with path.open("rb") as file:
            array = _read_array(file, path.stat().st_size, repr(str(path)), check)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}; restore it") from error
    return array.astype(np.float64)


def read_points(path: Path) -> NDArray[np.float32]:
    """Read samples [N, 3] of an object's surface, in the object frame, from an .npz file.

    They are its ``points`` [N, 3], or those that are ``visible`` [N] where it holds that too.

    Raises:
        InputError: The file is missing, damaged, larger than it may be, or holds other arrays.
    """
    if not path.is_file():
        raise InputError(
            f"{str(path)!r} is missing; give samples of the true surface: an .npz with points "
            "[N, 3] and, if some are hidden, visible [N]"
        )
    with opened(path) as archive:
        points = archive.read("points", FLOATS)
        visible = np.broadcast_to(True, points.shape[:1])  # takes no memory
        if "visible" in archive:
            visible = archive.read("visible", BOOLEANS)
    if points.ndim != 2 or points.shape[1] != 3 or visible.shape != points.shape[:1]:
        raise InputError(
            f"{str(path)!r} holds points of shape {points.shape} and visible of shape "
            f"{visible.shape}; they must be [N, 3] and [N]"
        )
    points = points[visible].astype(np.float32)
    if not len(points):
        raise InputError(f"{str(path)!r} holds no visible point; sample the surface again")
    if not (np.abs(points) <= OUTERMOST).all():  # also refuses NaN
        raise InputError(
            f"{str(path)!r} holds points outside the object cube; every coordinate must be finite "
            "and in [-0.5, 0.5]: scale the object to the cube"
        )
    return points


@contextlib.contextmanager
def opened(path: Path) -> Iterator["Arrays"]:
    """Open an .npz file.

    Raises:
        InputError: The file is damaged or lacks an array, also where that is found later.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Arrays(archive, path)
    except KeyError as error:
        raise InputError(f"{str(path)!r} lacks an array: {error}; write it again") from error
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError,
            RuntimeError, ValueError) as error:  # fmt: skip
        said = str(error)[:200]  # zipfile quotes what stands in place of a name, however long
        raise InputError(f"{str(path)!r} cannot be read: {said}; restore it") from error


class Arrays:
    """The arrays of an open .npz file, each read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, path: Path):
        self._archive, self.path = archive, path
        self._names = set(archive.namelist())
        self._size = path.stat().st_size

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._names

    def read(self, name: str, kinds: str, check: Check = lambda shape, dtype: None) -> NDArray:
        """Read an array of one of NumPy's ``kinds``, if it is not larger than is allowed.

        Args:
            name: Of the array.
            kinds: Such as "f" or "fiu".
            check: Raises what is wrong with a shape and type, before the array takes memory.

        Raises:
            InputError: The array is of another kind, too large, or damaged.
        """
        where = f"{str(self.path)!r}: {name}"
        entry = self._archive.getinfo(f"{name}.npy")
        present = min(
            entry.compress_size, self._size
        )  # what is stated takes memory before it is read
        most = min(LARGEST_ARRAY, MOST_EXPANSION * present + FREE_BYTES)
        if entry.file_size > most:
            raise InputError(
                f"{where} has {entry.file_size} bytes in {present}; at most {most} of "
                "such are read: store less, or with numpy.savez"
            )

        def check_all(shape: tuple[int, ...], dtype: np.dtype) -> None:
            if dtype.kind not in kinds:
                raise InputError(f"{where} has dtype {dtype}; it must hold {KINDS[kinds]}")
            check(shape, dtype)

        with self._archive.open(entry) as file:
            content = file.read(entry.file_size)
        return _read_array(io.BytesIO(content), len(content), where, check_all)


def _read_array(file: BinaryIO, size: int, where: str, check: Check) -> NDArray:
    """Read a .npy stream of ``size`` bytes, after ``check`` has accepted its shape and type."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise InputError(
                f"{where} is .npy of version {version[0]}.{version[1]}; save a plain array with "
                "numpy.save"
            )
        shape, _, dtype = HEADERS[version](file)
        check(shape, dtype)
        stated, present = math.prod(shape) * dtype.itemsize, size - file.tell()
        if stated != present:
            raise InputError(
                f"{where} states an array of {stated} bytes, but {present} follow; it is damaged, "
                "restore it"
            )
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # NumPy parses the header as Python and raises all sorts
        raise InputError(
            f"{where} is no .npy file that can be read: {str(error)[:200]}; save it again with "
            "numpy.save"
        ) from error
