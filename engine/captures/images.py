"""Images from disk, none of them trusted for its size."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_PIXELS = 1 << 27
MAX_TOTAL_BYTES = 4 << 30  # decoded, of one capture


class ImageReader:
    """Reads the images of one capture, within one budget of memory."""

    def __init__(self, total_bytes: int = MAX_TOTAL_BYTES, longest_side: int | None = None):
        self.total_bytes, self.longest_side = total_bytes, longest_side
        self.used = self.reduced = 0

    def read(self, path: Path, where: str) -> NDArray[np.uint8]:
        """uint8 [H, W, 3|4]; decoded whole, so that a truncated file is found.

        Args:
            path: Of the image.
            where: What refers to it, for the error.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                self._check_header(image, path, where)
                has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                mode = "RGBA" if has_alpha else "RGB"
                if self.longest_side and max(image.size) > self.longest_side:
                    self.reduced += 1
                    image.draft(mode, (self.longest_side, self.longest_side))
                    pixels = image.convert(mode)
                    pixels.thumbnail((self.longest_side, self.longest_side))
                else:
                    pixels = image.convert(mode)
                array = np.asarray(pixels)
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

    def _check_header(self, image, path: Path, where: str) -> None:
        if image.mode.startswith("I") or image.mode == "F":
            raise InputError(
                f"{where}: image {str(path)!r} has more than 8 bits a channel (mode "
                f"{image.mode}); convert it to 8-bit RGB or RGBA"
            )
        if image.width * image.height > MAX_PIXELS:
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
    """The image with a mask [H, W, 3|4] as its alpha: white is the object."""
    if mask.shape[:2] != image.shape[:2]:
        raise InputError(
            f"{where}: mask {name!r} has {mask.shape[1]} x {mask.shape[0]} pixels, its image "
            f"{image.shape[1]} x {image.shape[0]}; they must agree"
        )
    return np.dstack([image[..., :3], mask[..., 0]])


def find_image(folder: Path, name: str, where: str) -> Path:
    """The file of this name, its suffix left out or not."""
    for suffix in ("", *IMAGE_SUFFIXES):
        candidate = folder / (name + suffix)
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):  # a name too long for the system, or with a null byte
            break
    shown = str(folder / name)
    shown = shown if len(shown) < 300 else f"{shown[:300]}..."
    raise InputError(f"{where}: image {shown!r} is missing; restore it or remove the frame")


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder in natural order: 2.png before 10.png."""
    files = [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
    ]
    return sorted(files, key=lambda file: natural_order(file.name))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts runs of digits by their value."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (1, int(part[:18]), part) if part[:1].isdecimal() else (0, 0, part.lower())
        for part in parts
    ]


def check_square(image: NDArray[np.uint8], where: str, what: str) -> None:
    """What image generators write is square."""
    height, width = image.shape[:2]
    if height != width:
        raise InputError(
            f"{where} has {width} x {height} pixels; {what} must be square: crop or pad it"
        )
