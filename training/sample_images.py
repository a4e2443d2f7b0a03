"""Images of a run while it goes on: loss curves, and renders beside the truth."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geolrm.engine.system.atomic import atomic_file
from geolrm.training.episodes import Episode
from geolrm.training.objective import Outcome

WINDOW = 50  # steps of the moving mean
TERMS = ("total", "mse", "surface", "occupancy", "iou", "dissimilarity", "gain", "alpha")
LINEAR = ("iou", "gain")  # the others are shown by their logarithms, where they have them
LEAST_SIDE = 96  # px of a projected grid


def save_sample(file: Path, episode: Episode, outcome: Outcome) -> None:
    """Save the truth above the result: targets, or projected occupancy if none are rendered."""
    if outcome.rendered is None:
        truth = projections(episode.occupancy.cpu().numpy())
        result = projections(outcome.logits.detach().float().sigmoid().cpu().numpy())
    else:
        rgba = episode.target_rgba.cpu().numpy()
        truth = rgba[..., :3] + (1 - rgba[..., 3:])
        result = outcome.rendered.rgb.detach().cpu().numpy()
    rows = [np.concatenate(list(images), axis=1) for images in (truth, result)]
    pixels = (np.concatenate(rows).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    with atomic_file(file) as stream:
        Image.fromarray(pixels).save(stream, "PNG")


def projections(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project [G, G, G] to [3, S, S, 3]: the largest occupancy along each axis.

    z is up in the first two.
    """
    times = -(-LEAST_SIDE // len(grid))
    planes = [grid.max(0).T[::-1], grid.max(1).T[::-1], grid.max(2).T[::-1]]
    large = [np.kron(plane, np.ones((times, times), np.float32)) for plane in planes]
    return np.repeat(np.stack(large)[..., None], 3, axis=-1)


def save_curves(file: Path, records: list[dict[str, Any]]) -> None:
    """Plot the loss terms that the stage has, over steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in TERMS if any(name in record for record in records)]
    figure = Figure(figsize=(12, 6))
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(2, 3).ravel(), names, strict=False):
        values = np.array([record.get(name, np.nan) for record in records])
        steps = np.array([record["step"] for record in records])
        window = min(WINDOW, len(values))
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        axis.plot(steps[window - 1 :], mean, linewidth=1)
        linear = name in LINEAR or not (mean > 0).all()
        axis.set(title=name, xlabel="step", yscale="linear" if linear else "log")
    figure.tight_layout()
    with atomic_file(file) as stream:
        figure.savefig(stream, dpi=100, format="png")
