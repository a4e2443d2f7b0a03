"""The files of a COLMAP sparse model, binary or text, none trusted for its counts.

COLMAP's own reader believes the counts in a file, and loops over a damaged one for hours; see
docs/decisions/004-colmap-models-are-read-here.md.
"""

import itertools
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

MAX_FILE_BYTES = 1 << 30
NAMES = ("cameras", "images", "points3D")
# Name, number of parameters, and how many of the first are focal lengths.
MODELS = {
    0: ("SIMPLE_PINHOLE", 3, 1),
    1: ("PINHOLE", 4, 2),
    2: ("SIMPLE_RADIAL", 4, 1),
    3: ("RADIAL", 5, 1),
    4: ("OPENCV", 8, 2),
    5: ("OPENCV_FISHEYE", 8, 2),
    6: ("FULL_OPENCV", 12, 2),
    7: ("FOV", 5, 2),
    8: ("SIMPLE_RADIAL_FISHEYE", 4, 1),
    9: ("RADIAL_FISHEYE", 5, 1),
    10: ("THIN_PRISM_FISHEYE", 12, 2),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16, 2),
    12: ("SIMPLE_DIVISION", 4, 1),
    13: ("DIVISION", 5, 2),
    14: ("SIMPLE_FISHEYE", 3, 1),
    15: ("FISHEYE", 4, 2),
    16: ("EUCM", 6, 2),
}
NO_DISTORTION = 1e-4  # smaller parameters move no pixel of a model's input
BY_NAME = {name: (parameters, focals) for name, parameters, focals in MODELS.values()}


@dataclass(frozen=True, slots=True)
class SparseCamera:
    """A camera of the model: intrinsics and lens that images share."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]  # focal lengths, principal point, distortion; pixels

    @property
    def pinhole(self) -> tuple[float, float, float, float]:
        """Return fx, fy, cx, cy in pixels."""
        focals = BY_NAME[self.model][1]
        fx, fy = self.parameters[0], self.parameters[focals - 1]
        cx, cy = self.parameters[focals : focals + 2]
        return fx, fy, cx, cy

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Return the intrinsics [3, 3], divided by the image size; distortion is left out."""
        fx, fy, cx, cy = self.pinhole
        width, height = self.width, self.height
        return np.array([[fx / width, 0, cx / width], [0, fy / height, cy / height], [0, 0, 1.0]])

    @property
    def distorts(self) -> bool:
        """Tell whether this is no pinhole camera; a fisheye lens never is one."""
        rest = self.parameters[BY_NAME[self.model][1] + 2 :]
        return self.model.endswith("FISHEYE") or max(map(abs, rest), default=0) > NO_DISTORTION


@dataclass(frozen=True, slots=True, eq=False)
class SparseModel:
    """A sparse reconstruction, its images in the order of their names."""

    cameras: dict[int, SparseCamera]
    names: list[str]  # V
    camera_ids: list[int]  # V
    w2c: NDArray[np.float64]  # [V, 4, 4], OpenCV axes
    points: NDArray[np.float64]  # [P, 3]


def model_suffix(folder: Path) -> str | None:
    """Tell a model's files by their suffix, ``.bin`` before ``.txt``; None where there is none."""
    for suffix in (".bin", ".txt"):
        if all((folder / f"{name}{suffix}").is_file() for name in NAMES[:2]):
            return suffix
    return None


def read_model(folder: Path) -> SparseModel:
    """Read cameras, images and points; the file of points may be missing.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    suffix = model_suffix(folder)
    parsers = _BINARY if suffix == ".bin" else _TEXT
    cameras: dict[int, SparseCamera] = {}
    for key, camera in _parse(folder / f"cameras{suffix}", parsers[0]):
        cameras[key] = camera
    file = folder / f"images{suffix}"
    images = sorted(_parse(file, parsers[1]), key=lambda image: image[0])
    if not images:
        raise InputError(f"{file} lists no images; reconstruct again with more overlap")
    for name, key, *_ in images:
        if key not in cameras:
            raise InputError(
                f"{file}: image {name[:200]!r} is of camera {key}, which {folder / 'cameras'}"
                f"{suffix} does not have; the files are of different models"
            )
    points_file = folder / f"points3D{suffix}"
    cloud = np.empty((0, 3))
    if points_file.is_file():
        cloud = np.concatenate([cloud, *_parse(points_file, _tables(parsers[2]))])
    return SparseModel(
        cameras,
        [name for name, *_ in images],
        [key for _, key, *_ in images],
        np.stack([_pose(rotation, shift, name, file) for name, _, rotation, shift in images]),
        cloud[np.isfinite(cloud).all(axis=1)],
    )


def _tables(parser: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """Gather the points of a parser, thousands at a time: tuples take six times the memory."""

    def parse(content: bytes) -> Iterator[NDArray[np.float64]]:
        points = parser(content)
        while len(table := np.array(list(itertools.islice(points, 4096)), np.float64)):
            yield table.reshape(-1, 3)

    return parse


def _parse(file: Path, parser: Callable[[Any], Iterator[Any]]) -> list[Any]:
    """Read all entries of a file, or say in one sentence what is wrong with it."""
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"{file} is larger than {MAX_FILE_BYTES} bytes; reconstruct with fewer images"
            )
        return list(parser(file.read_bytes()))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; restore it") from error
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise InputError(
            f"{file} is damaged ({str(error)[:120]}); write the model again with COLMAP"
        ) from error


def _pose(
    rotation: tuple[float, ...], shift: tuple[float, ...], name: str, file: Path
) -> NDArray[np.float64]:
    """Make a pose [4, 4] of a quaternion (wxyz, normalised here) and a translation."""
    length = float(np.linalg.norm(rotation))
    if not 0.5 < length < 2 or not np.isfinite(shift).all():
        raise InputError(
            f"{file}: image {name[:200]!r} has a quaternion of length {length:.3g} and translation "
            f"{shift}; a pose has length 1 and finite numbers: write the model again with COLMAP"
        )
    w, x, y, z = np.asarray(rotation) / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), shift[0]],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), shift[1]],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), shift[2]],
            [0, 0, 0, 1],
        ]
    )


def _camera(model: str, width: int, height: int, parameters: tuple[float, ...]) -> SparseCamera:
    if model not in BY_NAME:
        raise ValueError(f"camera model {model[:40]} is not known")
    if len(parameters) != BY_NAME[model][0]:
        raise ValueError(f"{model} has {len(parameters)} parameters, not {BY_NAME[model][0]}")
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise ValueError(f"a camera has {width} x {height} pixels")
    if not np.isfinite(parameters).all():
        raise ValueError("a camera has parameters that are not finite")
    return SparseCamera(model, width, height, parameters)


class _Cursor:
    """A cursor over bytes that takes values, never past their end."""

    def __init__(self, content: bytes):
        self.content, self.position = content, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self.content, self.position)
        self.position += struct.calcsize(layout)
        return values

    def skip(self, count: int, size: int) -> None:
        if count * size > len(self.content) - self.position:
            raise ValueError(f"{count} entries are stated, but the file ends before them")
        self.position += count * size

    def count(self, smallest: int) -> int:
        """Take a number of entries, refused where the rest of the file cannot hold so many."""
        (count,) = self.take("<Q")
        if count * smallest > len(self.content) - self.position:
            raise ValueError(f"{count} entries are stated, but the file ends before them")
        return count

    def text(self) -> str:
        end = self.content.index(b"\0", self.position)
        found = os.fsdecode(self.content[self.position : end])  # names of files, in any encoding
        self.position = end + 1
        return found


def _binary_cameras(content: bytes) -> Iterator[tuple[int, SparseCamera]]:
    cursor = _Cursor(content)
    for _ in range(cursor.count(24 + 3 * 8)):
        key, model, width, height = cursor.take("<IiQQ")
        if model not in MODELS:
            raise ValueError(f"camera model {model} is not known")
        name, parameters, _ = MODELS[model]
        yield key, _camera(name, width, height, cursor.take(f"<{parameters}d"))


def _binary_images(content: bytes) -> Iterator[tuple[str, int, tuple, tuple]]:
    cursor = _Cursor(content)
    for _ in range(cursor.count(64 + 1 + 8)):
        _, *pose, key = cursor.take("<I7dI")
        name = cursor.text()
        cursor.skip(cursor.count(24), 24)  # the points seen in the image
        yield name, key, tuple(pose[:4]), tuple(pose[4:])


def _binary_points(content: bytes) -> Iterator[tuple[float, float, float]]:
    cursor = _Cursor(content)
    for _ in range(cursor.count(43 + 8)):
        _, x, y, z, *_ = cursor.take("<Q3d3Bd")
        cursor.skip(cursor.count(8), 8)  # the images that see it
        yield x, y, z


def _lines(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        if not line.startswith("#"):
            yield line


def _text_cameras(content: bytes) -> Iterator[tuple[int, SparseCamera]]:
    for line in _lines(content):
        if line.strip():
            key, model, width, height, *parameters = line.split()
            camera = _camera(model, int(width), int(height), tuple(map(float, parameters)))
            yield int(key), camera


def _text_images(content: bytes) -> Iterator[tuple[str, int, tuple, tuple]]:
    lines = _lines(content)
    for line in lines:
        if not line.strip():
            continue
        _, *pose, key, name = line.split(maxsplit=9)
        if len(pose) != 7:
            raise ValueError(f"an image has {len(pose)} numbers, not 7")
        next(lines, None)  # points in the image, an empty line where there are none
        values = tuple(map(float, pose))
        yield name.strip(), int(key), values[:4], values[4:]


def _text_points(content: bytes) -> Iterator[tuple[float, float, float]]:
    for line in _lines(content):
        if line.strip():
            _, x, y, z, *_ = line.split(maxsplit=4)
            yield float(x), float(y), float(z)


_BINARY = (_binary_cameras, _binary_images, _binary_points)
_TEXT = (_text_cameras, _text_images, _text_points)
