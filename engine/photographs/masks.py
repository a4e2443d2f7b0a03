"""Masks for photographs: their alpha, a file beside them, or what rembg finds."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.background import MODEL, Segmenter, load_segmenter
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.options import Masks, PhotographOptions
from geolrm.engine.photographs.packages import need
from geolrm.engine.photographs.sources import mask_file
from geolrm.engine.photographs.steps import Steps, Tell, file_digest
from geolrm.engine.system.extras import installed_version

SMALL_MODEL = "u2netp"  # 4.6 MB, Apache-2.0


def choose_segmenter(wanted: Masks) -> tuple[Segmenter | None, str]:
    """Load what finds objects, and say which it is; None where nothing is to, or can.

    ``auto`` takes weights that are on this machine and downloads none.

    Raises:
        InputError: It was asked for, and rembg is not installed.
        GeoLRMError: It has no weights.
    """
    if wanted == "none":
        return None, "no masks were asked for"
    if wanted == "rembg":
        need("rembg", "removing the background", "give a folder 'masks'")
        if _local_model() is None:
            return load_segmenter(MODEL), MODEL
    model = _local_model()
    if installed_version("rembg") is None or model is None:
        return None, (
            "the photographs have no masks: give a folder 'masks', or remove the background with "
            "--masks rembg"
        )
    try:
        return load_segmenter(model), model
    except GeoLRMError as error:
        if wanted == "rembg":
            raise
        return None, str(error)


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a mask [H, W], its alpha or else its grey, upright, at the photograph's size.

    Raises:
        InputError: It is no image, or of another shape.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            mask = image.getchannel("A") if "A" in image.getbands() else image.convert("L")
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        raise InputError(f"mask {str(path)!r} cannot be read: {str(error)[:100]}") from error
    if abs(mask.width * size[1] - mask.height * size[0]) > max(*mask.size, *size) * 2:
        raise InputError(
            f"mask {str(path)!r} has {mask.width} x {mask.height} pixels, its photograph another "
            f"shape, {size[0]} x {size[1]}; make them agree"
        )
    pixels = np.asarray(mask.resize(size))
    return pixels * 255 if pixels.max() == 1 else pixels


def find_mask(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Unite what the segmenter finds in an image [H, W, 3] into one mask [H, W]."""
    from PIL import Image

    found = [np.asarray(each.convert("L")) for each in segmenter.predict(Image.fromarray(image))]
    return np.max(found, axis=0) if found else np.zeros(image.shape[:2], np.uint8)


def write_masks(
    photographs: Sequence[Photograph],
    sources: dict[str, Path],
    folder: Path,
    options: PhotographOptions,
    steps: Steps,
    key: str,
    tell: Tell,
    notes: list[str],
) -> Path | None:
    """Write a mask ``FILE.png`` for each photograph; None where there is none to be had.

    Args:
        photographs: As they were taken in.
        sources: The files that were given, by file.
        folder: Of the photographs.
        options: Where masks may come from.
        steps: Keeps them.
        key: A hash of the photographs.
        tell: Takes titles and progress.
        notes: Takes where the masks are from, or why there are none.

    Raises:
        InputError: A mask that was given is damaged, or of another shape.
        GeoLRMError: ``--masks rembg``, and it is not installed or has no weights.
    """
    from PIL import Image

    given = {each.file: mask_file(sources[each.file]) for each in photographs}
    hashes = {file: file_digest(path) for file, path in given.items() if path}
    names = [each.file for each in photographs]
    lacking = [each for each in photographs if not each.has_alpha and not given[each.file]]
    segmenter, chosen = choose_segmenter(options.masks) if lacking else (None, "")
    if lacking and segmenter is None:
        notes.append(chosen)
        if len(lacking) == len(photographs):
            return None
    place = steps.place("masks", key, names, hashes, chosen)

    def make() -> dict[str, int]:
        report = tell("cutting out the object")
        counts = {"alpha": 0, "file": 0, "rembg": 0}
        for number, each in enumerate(photographs):
            target = place / f"{each.file}.png"
            file = given[each.file]
            if file is not None:
                mask, how = read_mask(file, (each.width, each.height)), "file"
            elif each.has_alpha:
                mask, how = np.asarray(Image.open(folder / each.file).getchannel("A")), "alpha"
            elif segmenter is not None:
                how = "rembg"
                if target.is_file():  # of an interrupted call
                    counts[how] += 1
                    continue
                with Image.open(folder / each.file) as image:
                    mask = find_mask(segmenter, np.asarray(image.convert("RGB")))
            else:
                continue
            part = target.with_suffix(".part")
            Image.fromarray(mask).save(part, "PNG", compress_level=1)
            part.replace(target)
            counts[how] += 1
            report(number + 1, len(photographs))
        return counts

    counts = steps.done(place, make)
    if counts["rembg"]:
        notes.append(f"{chosen} (rembg) cut {counts['rembg']} photographs out of their background")
    return place


def _local_model() -> str | None:
    """Find the best model of rembg whose weights are on this machine."""
    homes = [os.environ.get("U2NET_HOME"), os.environ.get("REMBG_HOME"), "~/.u2net", "~/.rembg"]
    for model in (MODEL, SMALL_MODEL):
        for home in filter(None, homes):
            root = Path(home).expanduser()
            places = (root, root / "models" / model, root / model)
            if any((place / f"{model}.onnx").is_file() for place in places):
                return model
    return None
