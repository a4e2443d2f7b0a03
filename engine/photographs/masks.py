"""Masks for photographs: their alpha, a file beside them, or what rembg finds."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.background import MODEL, Segmenter, load_segmenter
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.photographs.options import Masks
from geolrm.engine.system.extras import installed_version

SMALL_MODEL = "u2netp"  # 4.6 MB, Apache-2.0


def choose_segmenter(wanted: Masks) -> tuple[Segmenter | None, str]:
    """Load what finds objects, and say which it is; None where nothing is to, or can.

    ``auto`` takes weights that are on this machine and downloads none.

    Raises:
        GeoLRMError: It was asked for, and is not installed or has no weights.
    """
    if wanted == "none":
        return None, "no masks were asked for"
    if wanted == "rembg" and _local_model() is None:
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
    except (OSError, SyntaxError, ValueError) as error:
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
