"""Images from disk, none of them trusted for its size."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow knows others, some of which start programs
MAX_PIXELS, MAX_SIDE = 1 << 27, 1 << 16
LONGEST_SIDE = 2048  # px; larger images are reduced, since models read a few hundred
ORIENTATION, AS_STORED = 0x0112, 1  # EXIF's tag, and its value for no turn
QUARTER_TURNS = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # EXIF to Pillow
MAX_TOTAL_BYTES = 4 << 30  # of one capture's images, decoded


class ImageReader:
    """A reader of one capture's images, which share one budget of memory."""

    def __init__(self, total_bytes: int = MAX_TOTAL_BYTES, longest_side: int | None = LONGEST_SIDE):
        self.total_bytes, self.longest_side = total_bytes, longest_side
        self.used = self.reduced = self.turned = self.left = 0

    def read(
        self, path: Path, where: str, listed: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """Read an image, uint8 [H, W, 3|4]; it is decoded whole, so that a truncated file is found.

        Args:
            path: The image file.
            where: What refers to it, for the error.
            listed: (width, height) that the poses are for. The image is turned as its EXIF says
                where it has their shape only then; otherwise pixels are taken as they are stored.

        Raises:
            InputError: The file is no image, damaged, too large, or has more than 8 bits a channel.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path, formats=FORMATS) as image:
                self._check_header(image, path, where)
                has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                mode = "RGBA" if has_alpha else "RGB"
                size, turn = image.size, self._turns(image, listed)
                if self.longest_side and max(size) > self.longest_side:
                    self.reduced += 1
                    scale = self.longest_side / max(size)
                    width, height = (max(round(scale * side), 1) for side in size)
                    image.draft(mode, (width, height))
                    pixels = image.convert(mode).resize((width, height), reducing_gap=2.0)
                else:
                    pixels = image.convert(mode)
                array = np.asarray(pixels.transpose(Image.Transpose[turn]) if turn else pixels)
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
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{where}: image {str(path)!r} cannot be decoded: {error}; it may be truncated, "
                "restore it"
            ) from error
        self.used += array.nbytes
        return array

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

    def _turns(self, image, listed: tuple[float, float] | None) -> str | None:
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
        self.turned, self.left = self.turned + turned, self.left + (not turned)
        return QUARTER_TURNS[orientation] if turned else None

    def _check_header(self, image, path: Path, where: str) -> None:
        if image.mode.startswith("I") or image.mode == "F":
            raise InputError(
                f"{where}: image {str(path)!r} has more than 8 bits a channel (mode "
                f"{image.mode}); convert it to 8-bit RGB or RGBA"
            )
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise InputError(
                f"{where}: image {str(path)!r} has {image.width} x {image.height} pixels, "
                "more than are supported; make it smaller"
            )
        pixels = image.width * image.height
        if self.longest_side:
            pixels = min(pixels, self.longest_side**2)
        if self.used + 4 * pixels > self.total_bytes:
            raise InputError(
                f"{where}: with image {str(path)!r} the images take more than "
                f"{self.total_bytes / 2**30:.3g} GiB of memory; make them smaller, or remove some"
            )


def with_alpha(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], name: str, where: str
) -> NDArray[np.uint8]:
    """Give an image [H, W, 3|4] a mask [H, W, 3|4] as its alpha: white is the object."""
    if mask[..., 0].max() == 1:
        raise InputError(
            f"{where}: mask {name!r} holds 0 and 1; the object must be white (255) in it: multiply "
            "by 255"
        )
    if mask.shape[:2] != image.shape[:2]:
        raise InputError(
            f"{where}: mask {name!r} has {mask.shape[1]} x {mask.shape[0]} pixels, its image "
            f"{image.shape[1]} x {image.shape[0]}; they must agree"
        )
    return np.dstack([image[..., :3], mask[..., 0]])


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


def find_image(folder: Path, name: str, where: str) -> Path:
    """Find the file of a name, its suffix left out or not; Windows' separators will do."""
    names = [name] if os.sep == "\\" else [name, name.replace("\\", "/")]
    for candidate in (folder / (n + suffix) for n in names for suffix in ("", *IMAGE_SUFFIXES)):
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):  # a name too long for the system, or with a null byte
            break
    shown = str(folder / name)
    shown = shown if len(shown) < 300 else f"{shown[:300]}..."
    raise InputError(f"{where}: image {shown!r} is missing; restore it or remove the frame")


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
