"""Real photographs with given poses and masks, a few of which are held out.

Every fifth photograph with a mask is held out, from the first on; the others go in. The score is
the PSNR of a render over the held-out photograph's mask, at half its size and on black, after one
gain per colour channel, since exposures differ. Beside the default stands what plain colours, the
same from every direction, reach.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.image_metrics import psnr
from geolrm.engine.captures import load_capture
from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.fitting import fit_to_cube
from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.gaussians.gaussians import Gaussians

HELD_OUT = 5  # every so many photographs
INSIDE = 0.9  # alpha from which a pixel counts
Image = NDArray[np.float32]  # [H, W, 3|4] in [0, 1]


@dataclass(frozen=True, slots=True)
class Row:
    """One held-out photograph."""

    name: str
    plain: float  # dB, of colours that are the same from every direction
    shipped: float  # dB, of the default


def rows(
    dataset: str | Path,
    *,
    objects: Sequence[str] | None = None,
    model: str | Path | Engine = "mini",
    threads: int | None = None,
    advance: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Reconstruct one object of photographs and score those that were held out.

    Args:
        dataset: A capture with masks: a folder of ``images``, ``sparse`` and ``masks``.
        objects: Names of held-out photographs to score; None scores all.
        model: ``"mini"``, a bundle folder, or an engine.
        threads: Of the engine.
        advance: Given each row when it is known.

    Raises:
        InputError: Too few photographs have masks.
    """
    engine = model if isinstance(model, Engine) else Engine(model, threads=threads)
    inputs, held = split(load_capture(dataset))
    plain, shipped = (
        engine.run(inputs.images, inputs.cameras, valid=inputs.valid, shading=shading).gaussians
        for shading in (False, "auto")
    )
    made = []
    for index, name in enumerate(held.names):
        if objects is not None and name not in objects:
            continue
        scores = [score(g, held, index, engine.threads)[0] for g in (plain, shipped)]
        made.append(Row(name, *scores))
        advance(made[-1])
    return made


def split(capture: Capture) -> tuple[Capture, Capture]:
    """Divide the photographs with masks, in order of name: those that go in, those held out.

    The object is fitted to the cube by all of them, those held out too; no other photograph counts.

    Raises:
        InputError: There are too few for both.
    """
    masked = [index for index, image in enumerate(capture.images) if image.shape[2] == 4]
    masked.sort(key=lambda index: capture.names[index])
    if len(masked) <= HELD_OUT:
        raise InputError(
            f"{str(capture.path)!r} has {len(masked)} photographs with masks; give more than "
            f"{HELD_OUT}, of which every {HELD_OUT}th is held out"
        )
    fitted = fit_to_cube(capture.subset(masked), upright=True)
    held = list(range(0, len(masked), HELD_OUT))
    return fitted.subset([i for i in range(len(masked)) if i not in held]), fitted.subset(held)


def score(
    gaussians: Gaussians, held: Capture, index: int, threads: int | None = None
) -> tuple[float, Image, Image]:
    """Compare a render with a held-out photograph.

    Args:
        gaussians: In the frame of the cameras.
        held: The photographs held out, with alpha.
        index: Of the photograph.
        threads: Of the rasterizer.

    Returns:
        PSNR in dB, and the photograph and the render that it is of, both [H, W, 3] on black.
    """
    photograph = halved(held.images[index])
    height, width = photograph.shape[:2]
    truth = photograph[..., :3] * photograph[..., 3:]
    drawn = gaussians.render(
        held.cameras[[index]], (width, height), background=[0, 0, 0], backend="cpu", threads=threads
    ).rgb[0]
    inside = photograph[..., 3] > INSIDE
    seen, wanted = drawn[inside].astype(np.float64), truth[inside].astype(np.float64)
    gain = (seen * wanted).sum(axis=0) / np.maximum((seen**2).sum(axis=0), 1e-9)
    return psnr(float(np.mean((seen * gain - wanted) ** 2))), truth, (drawn * gain).clip(0, 1)


def halved(image: NDArray[np.uint8]) -> Image:
    """Average an image [H, W, C] over squares of two pixels; an odd last row or column goes."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    parts = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return (parts.mean(axis=(1, 3)) / 255).astype(np.float32)
