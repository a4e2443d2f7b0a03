"""Photographs with the cameras that a network estimated for them: VGGT, Depth Anything 3.

Such a network reads photographs made smaller, cropped or padded, and its intrinsics are of those.
So each photograph is laid over what the network read, where the file holds that, and the way that
agrees is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.file_search import check_inside
from geolrm.engine.captures.images import LONGEST_SIDE, ImageReader, list_images
from geolrm.engine.captures.lazy_images import LazyImages, coarse_image
from geolrm.engine.captures.mask_folder import with_mask_folder
from geolrm.engine.captures.prediction_file import Prediction, read_prediction
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras

FILES = (
    "predictions.npz",
    "results.npz",
    "exports/npz/results.npz",
    "exports/mini_npz/results.npz",
)
IMAGE_FOLDERS = ("images", "input_images", ".")
LEVELS_UP = 3  # of a file in exports/npz, to the folder that was exported to
COMPARED_SIDE = 96  # px, of a photograph laid over what the network read
MOST_COMPARED = 24  # photographs
ALIKE = 0.06  # of 1: largest mean difference of a photograph and what the network read of it
ROUNDED = 0.04  # of 1: what rounding to the network's patches changes in the ratio of sides


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the whole of a photograph lies in what the network read, in pixels of that."""

    left: float
    top: float
    width: float
    height: float

    def normalised(self, intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return intrinsics [3, 3] divided by the photograph's size."""
        (fx, _, cx), (_, fy, cy), _ = intrinsics
        return np.array([
            [fx / self.width, 0, (cx - self.left) / self.width],
            [0, fy / self.height, (cy - self.top) / self.height],
            [0, 0, 1],
        ])  # fmt: skip


Way = Callable[[tuple[int, int], tuple[int, int]], Placement]


def stretched(photograph: tuple[int, int], read: tuple[int, int]) -> Placement:
    """Place a photograph that was resized to what the network read, whatever its ratio of sides."""
    return Placement(0.0, 0.0, read[0], read[1])


def cropped(photograph: tuple[int, int], read: tuple[int, int]) -> Placement:
    """Place a photograph that covered what the network read, of which it read the middle."""
    return _centred(photograph, read, max(read[0] / photograph[0], read[1] / photograph[1]))


def padded(photograph: tuple[int, int], read: tuple[int, int]) -> Placement:
    """Place a photograph that lies whole in the middle of what the network read."""
    return _centred(photograph, read, min(read[0] / photograph[0], read[1] / photograph[1]))


def _centred(photograph: tuple[int, int], read: tuple[int, int], scale: float) -> Placement:
    width, height = scale * photograph[0], scale * photograph[1]
    return Placement((read[0] - width) / 2, (read[1] - height) / 2, width, height)


WAYS: tuple[Way, ...] = (stretched, cropped, padded)


def find_predictions(folder: Path) -> Path | None:
    """Find the file of a network in a folder that was exported to; None if there is none."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_predictions(
    file: Path, folder: Path, *, longest_side: int = LONGEST_SIDE, allow_outside: bool = False
) -> Capture:
    """Read photographs, and their cameras in the frame of the network, which may be any.

    Photographs are those of a folder ``images`` or ``input_images`` beside the file or up to three
    folders above, or lie there themselves: as many as the file has views, in the order of their
    names. Without them, the images in the file are taken, which are small.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    prediction = read_prediction(file)
    reader = ImageReader(longest_side=longest_side)
    files = _photographs(file, len(prediction))
    check_inside(files, files[0].parent if files else folder, allow_outside)
    found = _ordered_and_placed(files, reader, prediction, file) if files else None
    if found is not None:
        ordered, placed = found
        names = [path.name for path in ordered]
        pictures = [reader.measure(path, str(file)) for path in ordered]
        root = files[0].parent
        beside = root if (root / "masks").is_dir() else root.parent
        images, masks = with_mask_folder(
            LazyImages(reader, pictures), beside, names, allow_outside=allow_outside
        )
        notes = [f"images in the order of their names: {names[0]} is view 0", *masks]
    elif prediction.images is not None:
        placed = [stretched((1, 1), prediction.size)] * len(prediction)
        images, names = list(prediction.images), [f"view {i}" for i in range(len(prediction))]
        what = "do not look like what the network read" if files else "are not beside the file"
        width, height = prediction.size
        notes = [f"the photographs {what}: its own images are taken, of {width} x {height} px"]
    else:
        raise InputError(
            f"{str(file)!r} has {len(prediction)} views, and no folder 'images' beside it has "
            "as many photographs; put those there, in the order that the network read them"
        )
    intrinsics = [p.normalised(k) for p, k in zip(placed, prediction.intrinsics, strict=True)]
    try:
        c2w = np.linalg.inv(prediction.world_to_camera) @ FLIP_YZ
        cameras = Cameras(c2w.astype(np.float64), np.stack(intrinsics))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    notes.append(
        "the cameras are a network's estimate: where the result is blurred, refine them "
        "(--refine-poses on)"
    )
    return Capture(
        folder, names, images, cameras, kind="predictions", source=file,
        points=prediction.points, notes=(*notes, *reader.notes),
    )  # fmt: skip


def _photographs(file: Path, count: int) -> list[Path]:
    """Find the nearest folder upwards with as many images, in natural order of their names."""
    for above in [file.absolute().parent, *file.absolute().parent.parents][: LEVELS_UP + 1]:
        for name in IMAGE_FOLDERS:
            folder = above / name
            if folder.is_dir() and len(files := list_images(folder)) == count:
                return files
    return []


def _ordered_and_placed(
    files: Sequence[Path], reader: ImageReader, prediction: Prediction, file: Path
) -> tuple[list[Path], list[Placement]] | None:
    """Order photographs and place them as agrees best; None where nothing agrees.

    The networks' own programs sort names as strings do; others number what they read.

    Raises:
        InputError: The file holds no images, and the shapes allow several ways.
    """
    orders = [sorted(files, key=lambda path: path.name), list(files)]
    if prediction.images is None:
        return orders[0], _by_shape(orders[0], reader, prediction.size, file)
    best, fault = None, ALIKE
    for order in orders[: 1 + (orders[0] != orders[1])]:
        photographs = LazyImages(reader, [reader.measure(path, str(file)) for path in order])
        sizes = [(shape[1], shape[0]) for shape in photographs.shapes]
        some = np.unique(np.linspace(0, len(sizes) - 1, MOST_COMPARED).astype(int)).tolist()
        photographs.decode(some, coarse=True)
        for way in WAYS:
            placed = [way(size, prediction.size) for size in sizes]
            differences = [
                _difference(coarse_image(photographs, i), prediction.images[i], placed[i])
                for i in some
            ]
            if np.mean(differences) < fault:
                best, fault = (order, placed), float(np.mean(differences))
    return best


def _by_shape(
    files: Sequence[Path], reader: ImageReader, read: tuple[int, int], file: Path
) -> list[Placement]:
    """Place photographs that have the shape of what the network read, but for rounding.

    Raises:
        InputError: One has another shape, so that it may have been cropped or padded.
    """
    placed = []
    for index, path in enumerate(files):
        height, width = reader.measure(path, str(file)).shape[:2]
        if abs(np.log(width * read[1] / (height * read[0]))) > ROUNDED:
            raise InputError(
                f"{str(file)!r}: the network read {read[0]} x {read[1]} pixels of view {index}, "
                f"whose photograph has {width} x {height}, another shape; export its images too "
                "(npz instead of mini_npz), which tell whether it was cropped"
            )
        placed.append(stretched((width, height), read))
    return placed


def _difference(
    photograph: NDArray[np.uint8], read: NDArray[np.uint8], placement: Placement
) -> float:
    """Return the mean absolute difference of 1 where the two overlap, of small copies of them.

    Where a photograph is transparent, what the network read is not known.
    """
    height, width = read.shape[:2]
    left, top = max(placement.left, 0.0), max(placement.top, 0.0)
    right = min(placement.left + placement.width, width)
    bottom = min(placement.top + placement.height, height)
    scale = COMPARED_SIDE / max(height, width)
    size = max(round(scale * (right - left)), 1), max(round(scale * (bottom - top)), 1)
    across = photograph.shape[1] / placement.width
    down = photograph.shape[0] / placement.height
    box = (
        max((left - placement.left) * across, 0.0),
        max((top - placement.top) * down, 0.0),
        min((right - placement.left) * across, photograph.shape[1]),
        min((bottom - placement.top) * down, photograph.shape[0]),
    )
    over = _small(photograph, size, box)
    under = _small(read, size, (left, top, right, bottom))
    weights = over[..., 3:] if over.shape[2] == 4 else np.ones_like(over[..., :1])
    total = np.abs(over[..., :3] - under) * weights
    return float(total.sum() / max(3 * weights.sum(), 1e-6))


def _small(
    image: NDArray[np.uint8], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Reduce a part of an image to [H, W, 3|4] of 0 to 1, each channel by itself."""
    from PIL import Image

    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., k])).resize(
            size, Image.Resampling.BOX, box=box
        )
        for k in range(image.shape[2])
    ]
    return np.stack([np.asarray(c, dtype=np.float32) for c in channels], axis=-1) / np.float32(255)
