"""The images of a capture, decoded when they are looked at."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.colmap_model import SparseCamera
from geolrm.engine.captures.images import ImageReader, Picture
from geolrm.engine.captures.undistortion import undistorted, valid_masks
from geolrm.engine.system.cores import usable_cores
from geolrm.engine.views.silhouettes import Outline, has_mask, make_outline

FEWEST_PIXELS = 1 << 20  # to decode; starting threads takes longer than fewer do
COARSE_SIDE = 512  # px, at least, of an image that only its outline is wanted of


class LazyImages(Sequence[NDArray[np.uint8]]):
    """V images [H, W, 3|4], each decoded when it is first asked for, and then kept.

    Their shapes are known before.
    """

    def __init__(self, reader: ImageReader, pictures: Sequence[Picture], *, inverted: bool = False):
        self.reader, self.pictures = reader, tuple(pictures)
        self.inverted = inverted  # alpha is that of the background, and is turned over
        self._decoded: dict[Picture, NDArray[np.uint8]] = {}
        self._coarse: dict[Picture, NDArray[np.uint8]] = {}
        self._outlines: dict[tuple[Picture, int], Outline | None] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyImages": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.uint8] | LazyImages":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        picture = self.pictures[index]
        if picture not in self._decoded:
            self._decoded[picture] = self._decode(picture)
        return self._decoded[picture]

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} images, {len(self._decoded)} decoded)"

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Return the shapes [H, W, C], which need no decoding."""
        return [picture.shape for picture in self.pictures]

    def subset(self, indices: Iterable[int]) -> "LazyImages":
        """Return some of the images, which share what is decoded with these."""
        pictures = [self.pictures[index] for index in indices]
        chosen = LazyImages(self.reader, pictures, inverted=self.inverted)
        chosen._decoded, chosen._coarse = self._decoded, self._coarse
        chosen._outlines = self._outlines
        return chosen

    def turned_over(self) -> "LazyImages":
        """Return the images with what is transparent opaque, and the other way round."""
        return LazyImages(self.reader, self.pictures, inverted=not self.inverted)

    def coarse(self, index: int) -> NDArray[np.uint8]:
        """Return an image at any size that shows its outline: whole where that costs no more."""
        picture = self.pictures[index]
        if picture in self._decoded or not (picture.draft and max(picture.shape) > COARSE_SIDE):
            return self[index]
        if picture not in self._coarse:
            image = self._decode(picture, COARSE_SIDE)
            kept = self._decoded if image.shape == picture.shape else self._coarse
            kept[picture] = image
            return image
        return self._coarse[picture]

    def outline(self, index: int, longest_side: int) -> Outline | None:
        """Return the outline of an image that has a mask; None where it has none."""
        key = self.pictures[index], longest_side
        if key not in self._outlines:
            self._outlines[key] = _outline_of(self.coarse(index), longest_side)
        return self._outlines[key]

    def _decode(self, picture: Picture, coarse: int | None = None) -> NDArray[np.uint8]:
        image = self.reader.decode(picture, coarse)
        if self.inverted and image.shape[2] == 4:
            image = np.dstack([image[..., :3], 255 - image[..., 3]])
        return image

    def decode(self, indices: Iterable[int] | None = None, coarse: bool = False) -> None:
        """Decode images on all cores: those of these indices, or all."""
        every = range(len(self)) if indices is None else indices
        chosen = list({self.pictures[i]: i for i in every}.values())  # each file once
        decode = self.coarse if coarse else self.__getitem__
        stored = (self.pictures[index].stored for index in chosen)
        if sum(width * height for width, height in stored) < FEWEST_PIXELS:
            for index in chosen:
                decode(index)
        else:
            decode_in_threads(decode, chosen)


def without_distortion(
    photographs: LazyImages, lenses: Sequence[SparseCamera]
) -> tuple[
    Sequence[NDArray[np.uint8]], list[SparseCamera], list[NDArray[np.bool_] | None] | None, int
]:
    """Undo the distortion of lenses; where there is none, nothing is decoded.

    Returns:
        The images, their V pinhole cameras, where each shows something (None: everywhere), and how
        many of them were distorted.

    Raises:
        GeoLRMError: pycolmap is not installed.
        InputError: An image is damaged, or its distortion cannot be undone.
    """
    distorted = sum(lens.distorts for lens in lenses)
    if not distorted:
        return photographs, list(lenses), None, 0
    photographs.decode()
    images, cameras, valid = [], [], []
    known: dict[tuple[Picture, SparseCamera], Any] = {}
    for image, lens, picture in zip(photographs, lenses, photographs.pictures, strict=True):
        straight = known.get((picture, lens))
        if straight is None:
            straight = image, lens, None
            if lens.distorts:
                straight = undistorted(image, lens, picture.where)
                photographs.reader.reserve(straight[0].nbytes, picture)
            known[picture, lens] = straight
        images.append(straight[0])
        cameras.append(straight[1])
        valid.append(straight[2])
    return images, cameras, valid_masks(valid), distorted


def decode_in_threads(decode: Callable[[int], Any], indices: Sequence[int]) -> list[Any]:
    """Call ``decode`` for every index on all cores; of several errors the first one is raised."""
    workers = min(usable_cores(), len(indices), 8)
    if workers < 2:
        return [decode(index) for index in indices]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(decode, indices))


def shapes_of(images: Sequence[NDArray[np.uint8]]) -> list[tuple[int, ...]]:
    """Return the shapes [H, W, C] of images, which decodes none of them."""
    if isinstance(images, LazyImages):
        return list(images.shapes)
    return [image.shape for image in images]


def coarse_image(images: Sequence[NDArray[np.uint8]], index: int) -> NDArray[np.uint8]:
    """Return one of the images at any size that shows its outline."""
    return images.coarse(index) if isinstance(images, LazyImages) else images[index]


def outline(images: Sequence[NDArray[np.uint8]], index: int, longest_side: int) -> Outline | None:
    """Return the outline of one of the images that has a mask; None where it has none."""
    if isinstance(images, LazyImages):
        return images.outline(index, longest_side)
    return _outline_of(images[index], longest_side)


def _outline_of(image: NDArray[np.uint8], longest_side: int) -> Outline | None:
    return make_outline(image, longest_side) if has_mask(image) else None
