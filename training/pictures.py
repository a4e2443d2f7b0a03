"""What a run looks like while it goes on: loss curves and renders beside the truth."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geolrm.training.episodes import Episode
from geolrm.training.objective import Outcome

WINDOW = 50  # steps of the moving mean


def draw_sample(file: Path, episode: Episode, outcome: Outcome) -> None:
    """Targets above, renders below; on the step's random background."""
    file.parent.mkdir(parents=True, exist_ok=True)
    truth = episode.target_rgba.cpu().numpy()
    truth = truth[..., :3] + (1 - truth[..., 3:])
    drawn = outcome.drawn.rgb.detach().cpu().numpy()
    rows = [np.concatenate(list(images), axis=1) for images in (truth, drawn)]
    picture = (np.concatenate(rows).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(picture).save(file)


def draw_curves(file: Path, records: list[dict[str, Any]]) -> None:
    """Loss terms over steps; nothing where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    names = ("total", "mse", "alpha", "occupancy", "iou", "dissimilarity")
    figure = Figure(figsize=(12, 6))
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(2, 3).ravel(), names, strict=True):
        values = np.array([record.get(name, np.nan) for record in records])
        steps = np.array([record["step"] for record in records])
        window = min(WINDOW, len(values))
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        axis.plot(steps[window - 1 :], mean, linewidth=1)
        axis.set(title=name, xlabel="step", yscale="linear" if name == "iou" else "log")
    figure.tight_layout()
    figure.savefig(file, dpi=100)
