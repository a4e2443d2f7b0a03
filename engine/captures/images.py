"""Images from disk, none of them trusted for its size."""

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.masks import mask_values
from geolrm.engine.captures.png_chunks import is_plain
from geolrm.engine.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow knows others, some of which start programs
MAX_PIXELS, MAX_SIDE = 1 << 27, 1 << 16
LONGEST_SIDE = 2048  # px; larger images are reduced, since models read a few hundred
ORIENTATION, AS_STORED = 0x0112, 1  # EXIF's tag, and its value for no turn
QUARTER_TURNS = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # EXIF to Pillow
MASK_NOTES = {
    "alpha": "masks that are cut-outs, whose alpha was taken",
    "stretched": "masks of few values or of a palette, stretched to black and white",
}
MAX_TOTAL_BYTES = 4 << 30  # of one capture's images, decoded
MAX_SCANS = 100  # of a progressive JPEG, each of which touches every pixel; programs write about 10
SCAN = b"\xff\xda"  # begins one, and stands nowhere within its numbers


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file whose header was read, and what it becomes when it is decoded."""

    file: Path
    where: str = field(compare=False)  # what refers to it first, for errors
    mode: str  # Pillow's, "RGB" or "RGBA"
    size: tuple[int, int]  # width and height when reduced, before it is turned
    stored: tuple[int, int]  # width and height in the file
    draft: bool  # JPEG, which can be decoded at a fraction of its size
    turn: str | None  # Pillow's transposition
    mask: "Picture | None" = None  # whose pixels become the alpha

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape [H, W, C] of the decoded image."""
        width, height = self.size[::-1] if self.turn in QUARTER_TURNS.values() else self.size
        return height, width, 4 if self.mask is not None or self.mode == "RGBA" else 3


class ImageReader:
    """A reader of one capture's images, which share one budget of memory.

    Several threads may use it.
    """

    def __init__(self, total_bytes: int = MAX_TOTAL_BYTES, longest_side: int | None = LONGEST_SIDE):
        self.total_bytes, self.longest_side = total_bytes, longest_side
        self.used = self.reduced = self.turned = self.left = 0
        self._measured: dict[tuple[Any, ...], Picture] = {}  # a header is read once
        self.masks: dict[str, set[Path]] = {}  # those that are no plain ones, by what was done
        self._lock = threading.Lock()

    def read(
        self, path: Path, where: str, listed: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """Read an image, uint8 [H, W, 3|4]: :meth:`measure` it, then :meth:`decode` it."""
        return self.decode(self.measure(path, where, listed))

    def measure(
        self,
        path: Path,
        where: str,
        listed: tuple[float, float] | None = None,
        mask: Path | None = None,
        mask_name: str = "",
    ) -> Picture:
        """Read the header of an image, and of its mask, and tell what they become.

        Args:
            path: The image file.
            where: What refers to it, for the error.
            listed: (width, height) that the poses are for. The image is turned as its EXIF says
                where it has their shape only then; otherwise pixels are taken as they are stored.
            mask: The file of its mask, of the same size.
            mask_name: What the mask is called in errors.

        Raises:
            InputError: The file is no image, too large, or has more than 8 bits a channel.
        """
        picture = self._measure(path, where, listed)
        return picture if mask is None else self.with_mask(picture, mask, mask_name, listed)

    def with_mask(
        self,
        picture: Picture,
        mask: Path,
        name: str = "",
        listed: tuple[float, float] | None = None,
    ) -> Picture:
        """Read the header of an image's mask, whose pixels become its alpha.

        Raises:
            InputError: The mask is no image, or of another size.
        """
        where, stored = picture.where, picture.stored
        other = self._measure(mask, where, listed, is_mask=True)
        if other.shape[:2] != picture.shape[:2] or sorted(other.stored) != sorted(stored):
            raise InputError(
                f"{where}: mask {(name or str(mask))!r} has {other.stored[0]} x {other.stored[1]} "
                f"pixels, its image {stored[0]} x {stored[1]}; they must agree"
            )
        return replace(picture, mask=other)

    def decode(self, picture: Picture, coarse: int | None = None) -> NDArray[np.uint8]:
        """Decode an image whole, so that a truncated file is found: uint8 [H, W, 3|4].

        Args:
            picture: From :meth:`measure`.
            coarse: Longest side that is enough: JPEG is then decoded faster, at a fraction of its
                size that is not smaller, and its mask reduced alike.

        Raises:
            InputError: The file is damaged, or memory does not suffice for the images.
        """
        from PIL import Image

        with self._opened(picture.file, picture.where) as image:
            size = picture.size
            if coarse and picture.draft:
                share = coarse / max(image.size)
                image.draft(picture.mode, tuple(max(round(share * side), 1) for side in image.size))
                if max(image.size) < max(size):
                    size = image.size
            elif size != picture.stored:
                image.draft(picture.mode, size)
            self.reserve(4 * size[0] * size[1], picture)
            pixels = image.convert(picture.mode)
            if pixels.size != size:
                pixels = pixels.resize(size, reducing_gap=2.0)
            if picture.turn:
                pixels = pixels.transpose(Image.Transpose[picture.turn])
            array = np.asarray(pixels)
        if picture.mask is None:
            return array
        return np.dstack([array[..., :3], self._decode_mask(picture.mask, size)])

    def _decode_mask(self, picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
        from PIL import Image

        with self._opened(picture.file, picture.where) as image:
            image.load()
            values, done = mask_values(image)
            if done:
                with self._lock:
                    self.masks.setdefault(done, set()).add(picture.file)
            pixels = Image.fromarray(values)
            if picture.turn:
                pixels = pixels.transpose(Image.Transpose[picture.turn])
                if picture.turn in QUARTER_TURNS.values():
                    size = size[1], size[0]
            if pixels.size != size:
                pixels = pixels.resize(size, reducing_gap=2.0)
            return np.asarray(pixels)

    @contextlib.contextmanager
    def _opened(self, path: Path, where: str) -> Iterator[Any]:
        """Open an image, and say in one sentence what goes wrong while it is used."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path, formats=FORMATS) as image:
                yield image
        except UnidentifiedImageError as error:
            raise InputError(
                f"{where}: {str(path)!r} is no image that can be read; replace it by PNG, JPEG or "
                "WebP"
            ) from error
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{where}: image {str(path)!r} states more pixels than are supported; make it "
                "smaller"
            ) from error
        except (OSError, SyntaxError, ValueError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            # A damaged file may ask for any memory.
            why = str(error)[:200] or "memory does not suffice"
            raise InputError(
                f"{where}: image {str(path)!r} cannot be decoded: {why}; it may be truncated, "
                "restore it"
            ) from error

    def _measure(
        self,
        path: Path,
        where: str,
        listed: tuple[float, float] | None,
        is_mask: bool = False,
    ) -> Picture:
        """Read the header of a file, once for all that refer to it."""
        key = path, listed, is_mask
        if key not in self._measured:
            with self._opened(path, where) as image:
                self._measured[key] = self._header(image, path, where, listed, is_mask)
        return replace(self._measured[key], where=where)

    def _header(
        self,
        image: Any,
        path: Path,
        where: str,
        listed: tuple[float, float] | None,
        is_mask: bool,
    ) -> Picture:
        self._check_header(image, path, where, is_mask)
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        size: tuple[int, int] = image.size
        if self.longest_side and max(size) > self.longest_side:
            scale = self.longest_side / max(size)
            size = max(round(scale * size[0]), 1), max(round(scale * size[1]), 1)
            self.reduced += not is_mask
        plain = image.format == "PNG" and is_plain(path)
        turn = None if plain else self._turns(image, listed, count=not is_mask)
        mode, draft = "RGBA" if has_alpha else "RGB", image.format in ("JPEG", "MPO")
        return Picture(path, where, mode, size, image.size, draft, turn)

    @property
    def notes(self) -> list[str]:
        """Say what was done to the images so far, a sentence each."""
        notes = []
        if self.reduced:
            notes.append(f"images reduced to {self.longest_side} px: {self.reduced}")
        if self.turned:
            notes.append(f"images turned as their EXIF orientation says: {self.turned}")
        if self.left:
            notes.append(
                f"images taken as they are stored, against their EXIF orientation: {self.left}; if "
                "their poses are of turned images, store them turned"
            )
        return notes

    @property
    def mask_notes(self) -> list[str]:
        """Say what was done to the masks that were decoded so far, a sentence each."""
        return [f"{MASK_NOTES[done]}: {len(files)}" for done, files in sorted(self.masks.items())]

    def _turns(
        self, image: Any, listed: tuple[float, float] | None, count: bool = True
    ) -> str | None:
        """Name Pillow's transposition that gives the listed shape, where the stored one differs."""
        try:
            orientation = image.getexif().get(ORIENTATION, AS_STORED)
        except Exception:  # damage that the parser meets; the pixels may be sound
            return None
        if orientation not in (3, *QUARTER_TURNS):
            return None
        width, height = image.size
        turned = (
            orientation in QUARTER_TURNS
            and listed is not None
            and not same_shape(listed, (width, height))
            and same_shape(listed, (height, width))
        )
        if count:
            self.turned, self.left = self.turned + turned, self.left + (not turned)
        return QUARTER_TURNS[orientation] if turned else None

    def _check_header(self, image: Any, path: Path, where: str, is_mask: bool) -> None:
        if (image.mode.startswith("I") or image.mode == "F") and not is_mask:
            raise InputError(
                f"{where}: image {str(path)!r} has more than 8 bits a channel (mode "
                f"{image.mode}); convert it to 8-bit RGB or RGBA"
            )
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise InputError(
                f"{where}: image {str(path)!r} has {image.width} x {image.height} pixels, "
                "more than are supported; make it smaller"
            )
        if "progression" in image.info:
            scans = path.read_bytes().count(SCAN)
            if scans > MAX_SCANS:
                raise InputError(
                    f"{where}: image {str(path)!r} has {scans} scans, a JPEG has {MAX_SCANS} at "
                    "most here; save it again"
                )

    def reserve(self, count: int, picture: Picture) -> None:
        """Take so many bytes from the budget, before they are decoded.

        Raises:
            InputError: That is more than the images of a capture may take.
        """
        with self._lock:
            self.used += count
            if self.used > self.total_bytes:
                raise InputError(
                    f"{picture.where}: with image {str(picture.file)!r} the images take more than "
                    f"{self.total_bytes / 2**30:.3g} GiB of memory; make them smaller, or remove "
                    "some"
                )


def same_shape(listed: tuple[float, float], size: tuple[int, int]) -> bool:
    """Tell whether two (width, height) have one ratio, to a pixel of the larger."""
    return abs(listed[0] * size[1] - listed[1] * size[0]) <= max(*listed, *size)


def check_shape(listed: tuple[float, float], shape: tuple[int, ...], what: str) -> None:
    """Refuse a listed (width, height) of another shape than the image; another size will do."""
    height, width = shape[:2]
    if not same_shape(listed, (width, height)):
        raise InputError(
            f"{what} are {listed[0]:g} x {listed[1]:g}, but the image has {width} x {height} "
            "pixels, another shape; correct w and h, or the image"
        )


def list_images(folder: Path) -> list[Path]:
    """List the image files of a folder in natural order: 2.png before 10.png."""
    files = [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES
        and not entry.name.startswith(".")  # macOS puts such a file beside each
        and entry.is_file()
    ]
    return natural_sort(files)


def natural_sort(paths: Iterable[Path]) -> list[Path]:
    """Sort paths by name, runs of digits by their value."""
    return sorted(paths, key=lambda path: natural_order(path.name))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts runs of digits by their value."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (1, int(part[:18]), part) if part[:1].isdecimal() else (0, 0, part.lower())
        for part in parts
    ]


def check_square(image: NDArray[np.uint8], where: str, what: str) -> None:
    """Refuse an image that is not square; what image generators write is."""
    height, width = image.shape[:2]
    if height != width:
        raise InputError(
            f"{where} has {width} x {height} pixels; {what} must be square: crop or pad it"
        )
