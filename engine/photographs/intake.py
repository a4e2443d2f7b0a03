"""Photographs from disk, upright, no larger than needed, and what is known of each."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geolrm.engine.captures.images import FORMATS, MAX_PIXELS, MAX_SIDE
from geolrm.engine.errors import InputError
from geolrm.engine.photographs.packages import need
from geolrm.engine.photographs.sources import HEIC_SUFFIXES

MEASURED_SIDE = 800  # px at which sharpness is measured
BLURRED = 0.07  # sharpness below which a photograph shows no fine detail, see sharpness()
FINGERPRINT_SIDE, EQUAL = 24, 1.5  # px, and mean difference in levels of equal photographs
FILM_DIAGONAL = math.hypot(36.0, 24.0)  # mm, what focal lengths "in 35 mm film" are for
EXIF_IFD, FOCAL_35MM, FOCAL = 0x8769, 0xA405, 0x920A
EXIF_WIDTH, EXIF_HEIGHT = 0xA002, 0xA003  # px, of the photograph as it was taken
SENSOR_PIXELS, SENSOR_UNIT = 0xA20E, 0xA210  # in a unit of length, and which
MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0}  # of these units


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph as it was taken in."""

    name: str  # of the file that was given, or of the frame
    file: str  # what it is called from here on, unique
    width: int  # px, upright and reduced
    height: int
    focal: float | None  # px of that size, as EXIF has it
    sharpness: float
    fingerprint: tuple[float, ...]  # S * S levels
    has_alpha: bool


def take_in(source: Path, folder: Path, stem: str, max_side: int) -> Photograph:
    """Write a photograph upright and reduced into a folder as ``STEM.jpg``, and measure it.

    A JPEG or PNG that needs neither is copied as it is; one with alpha becomes ``STEM.png``.

    Raises:
        InputError: The file is no image, damaged or too large.
        InputError: It is HEIC, and pillow-heif is not installed.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    formats = FORMATS
    if source.suffix.lower() in HEIC_SUFFIXES:
        need_heic(source)
        import pillow_heif  # pyright: ignore[reportMissingImports]

        pillow_heif.register_heif_opener()
        formats = (*FORMATS, "HEIF")
    try:
        with Image.open(source, formats=formats) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise InputError(
                    f"{str(source)!r} has {image.width} x {image.height} pixels, more than are "
                    "supported; make it smaller"
                )
            ratio, kind = _focal_ratio(image), image.format
            as_is = (
                kind in ("JPEG", "PNG")
                and image.mode == "RGB"
                and max(image.size) <= max_side
                and image.getexif().get(0x0112, 1) == 1
            )
            image.draft("RGB", (max_side, max_side))
            upright = ImageOps.exif_transpose(image)
            alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            upright = upright.convert("RGBA" if alpha else "RGB")
            if max(upright.size) > max_side:
                scale = max_side / max(upright.size)
                size = (max(round(upright.width * scale), 1), max(round(upright.height * scale), 1))
                upright = upright.resize(size, reducing_gap=2.0)
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{str(source)!r} is no image that can be read") from error
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        raise InputError(f"{str(source)!r} cannot be decoded: {str(error)[:100]}") from error
    png = alpha or (as_is and kind == "PNG")
    target = folder / f"{stem}.{'png' if png else 'jpg'}"
    try:
        if as_is:
            shutil.copyfile(source, target)
        elif alpha:
            upright.save(target, "PNG", compress_level=1)
        else:
            upright.save(target, "JPEG", quality=95, subsampling=0)
    except OSError as error:
        raise InputError(f"cannot write {str(target)!r}: {error.strerror or error}") from error
    focal = None if ratio is None else ratio * math.hypot(*upright.size)
    return measure(upright, source.name, target.name, focal)


def need_heic(source: Path) -> None:
    """Refuse a HEIC file in one sentence when pillow-heif is not installed."""
    need("pillow-heif", f"reading {source.suffix}", "export JPEG")


def measure(image, name: str, file: str, focal: float | None) -> Photograph:
    """Measure an upright image, of Pillow."""
    grey = image.convert("L")
    small = grey.resize((FINGERPRINT_SIDE, FINGERPRINT_SIDE), reducing_gap=3.0)
    return Photograph(
        name,
        file,
        image.width,
        image.height,
        focal,
        sharpness(grey),
        tuple(np.asarray(small, np.float64).ravel().tolist()),
        image.mode == "RGBA",
    )


def sharpness(grey) -> float:
    """Measure how fine the detail a grey image of Pillow has: 0.3 if it is sharp, 0 if blurred.

    It is what a slight blur takes from the strongest edges, in parts of what a strong one takes,
    so that contrast and exposure cancel.
    """
    from PIL import ImageFilter

    scale = MEASURED_SIDE / max(grey.size)
    if scale < 1:
        size = (max(round(grey.width * scale), 1), max(round(grey.height * scale), 1))
        grey = grey.resize(size, reducing_gap=2.0)
    pixels = np.asarray(grey, np.float32)
    fine, coarse = (
        np.abs(pixels - np.asarray(grey.filter(ImageFilter.GaussianBlur(radius)), np.float32))
        for radius in (1, 6)
    )
    strongest = coarse >= np.percentile(coarse, 98)
    if coarse[strongest].mean() < 2:  # nothing but levels of rounding: a wall, or the sky
        return 0.0
    return float(fine[fine >= np.percentile(fine, 98)].mean() / coarse[strongest].mean())


def left_out(photographs: Sequence[Photograph]) -> dict[str, str]:
    """Say why photographs are of no use, by file: blurred, or equal to one before."""
    reasons: dict[str, str] = {}
    kept: list[Photograph] = []
    for each in photographs:
        if each.sharpness < BLURRED:
            reasons[each.file] = "blurred"
            continue
        same = next((k for k in kept if _equal(k, each)), None)
        if same is not None:
            reasons[each.file] = f"equal to {same.name}"
        else:
            kept.append(each)
    return reasons


def spread(files: Sequence[Path], most: int) -> list[Path]:
    """Choose as many files as may be, evenly."""
    if len(files) <= most:
        return list(files)
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


def file_stem(index: int, source: Path) -> str:
    """Name a photograph for COLMAP, whose lists are split at spaces."""
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in source.stem)
    return f"{index:04d}_{stem[:40]}"


def _focal_ratio(image) -> float | None:
    """Return the focal length in diagonals of the image, as EXIF tells it.

    It is that for 35 mm film, or else the focal length on the sensor, whose size follows from the
    pixels that it has to the inch or centimetre.
    """
    try:
        tags = image.getexif().get_ifd(EXIF_IFD)
        focal = float(tags.get(FOCAL_35MM, 0))
        if not 4 <= focal <= 2000 and FOCAL in tags and SENSOR_PIXELS in tags:
            unit = MILLIMETRES.get(int(tags.get(SENSOR_UNIT, 2)), 25.4)
            pixels = float(tags[FOCAL]) / unit * float(tags[SENSOR_PIXELS])
            whole = math.hypot(tags[EXIF_WIDTH], tags[EXIF_HEIGHT])
            focal = pixels / whole * FILM_DIAGONAL
    except Exception:  # damage that the parser meets; the pixels may be sound
        return None
    return focal / FILM_DIAGONAL if 4 <= focal <= 2000 else None


def _equal(first: Photograph, second: Photograph) -> bool:
    return float(np.abs(np.subtract(first.fingerprint, second.fingerprint)).mean()) < EQUAL
