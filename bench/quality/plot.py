"""PSNR over the number of input views, as an image. Needs matplotlib."""

import math
from collections.abc import Iterable
from pathlib import Path

from geolrm.bench.quality.scores import BASELINES, Report, Scores
from geolrm.engine.system.atomic import atomic_file


def save_plot(report: Report, path: Path) -> None:
    """Write a PNG: a line for the model and one for each baseline."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    counts = [int(count) for count in report.views]
    if report.model is not None:
        axes.plot(counts, _psnr(report.views.values()), "o-", label=report.model.name)
    for name, label in BASELINES.items():
        scores = [score.baselines[name] for score in report.views.values()]
        axes.plot(counts, _psnr(scores), "o--", label=label)
    axes.set(xlabel="input views", ylabel="PSNR (dB)", xticks=counts)
    count = len(report.objects)
    objects = f"{count} object{'' if count == 1 else 's'}"
    axes.set_title(f"{objects}, {_target_count(report)} held-out views each")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file)


def _psnr(scores: Iterable[Scores]) -> list[float]:
    return [math.nan if one.psnr is None else one.psnr for one in scores]


def _target_count(report: Report) -> int:
    return sum(len(frames) for frames in report.protocol.targets.values())
