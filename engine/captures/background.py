"""Backgrounds removed by rembg, which is the extra ``[rembg]``."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.extras import require

MODEL = "isnet-general-use"  # rembg's own default may not be used commercially


class Segmenter(Protocol):
    """Finds the object in an image: what rembg calls a session."""

    def predict(self, img: Any) -> list[Any]:
        """Return the masks of an image, PIL images in mode L of a PIL image."""
        ...


def cut_out(capture: Capture, segmenter: Segmenter | None = None) -> Capture:
    """Give an alpha to the images that have none.

    Args:
        capture: Left as it is.
        segmenter: Finds the object; default: rembg with ``isnet-general-use``.

    Raises:
        GeoLRMError: rembg is not installed, or has no weights of its model.
    """
    plain = [index for index, image in enumerate(capture.images) if image.shape[2] == 3]
    if not plain:
        return replace(
            capture,
            notes=(*capture.notes, "every image has an alpha, so that no background was removed"),
        )
    segmenter = segmenter or load_segmenter()
    images = list(capture.images)
    for index in plain:
        images[index] = np.dstack([images[index], _mask(segmenter, images[index])])
    note = f"rembg removed the background of {len(plain)} images"
    return replace(capture, images=images, notes=(*capture.notes, note))


def _mask(segmenter: Segmenter, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Unite what the segmenter finds into one mask [H, W]; black where it finds nothing."""
    from PIL import Image

    found = [np.asarray(mask.convert("L")) for mask in segmenter.predict(Image.fromarray(image))]
    return np.max(found, axis=0) if found else np.zeros(image.shape[:2], np.uint8)


@contextlib.contextmanager
def _without_compiling() -> Iterator[None]:
    """Switch numba off while rembg is imported: pymatting would compile for a minute, unused."""
    try:
        from numba.core import config  # pyright: ignore[reportMissingImports]
    except ImportError:
        yield
        return
    settings: Any = config
    before, settings.DISABLE_JIT = settings.DISABLE_JIT, True
    try:
        yield
    finally:
        settings.DISABLE_JIT = before


def load_segmenter(model: str = MODEL) -> Segmenter:
    """Load a model of rembg.

    Raises:
        GeoLRMError: rembg is not installed, or has no weights of the model.
    """
    require("rembg", "removing backgrounds", instead="give images with alpha")
    with _without_compiling():
        from rembg import new_session  # pyright: ignore[reportMissingImports]
    try:
        return new_session(model)
    except Exception as error:  # any of requests, pooch, ONNX Runtime, the file system
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise GeoLRMError(
            f"rembg could not load its model {model}, which it downloads at first use ({reason}); "
            f"connect to the network once, or put {model}.onnx into ~/.rembg/models/{model}"
        ) from error
