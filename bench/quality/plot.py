"""Scores over the number of input views, as images. Needs matplotlib."""

import math
from collections.abc import Iterable
from pathlib import Path

from geolrm.bench.quality.scores import BASELINES, Report, Scores
from geolrm.engine.system.atomic import atomic_file
from geolrm.engine.system.shown_text import shown

MEASURES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "cd": "Chamfer distance"}


def save_plot(report: Report, measure: str, path: Path) -> None:
    """Write a PNG of one of MEASURES: a line for the model and one for each baseline."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    counts = [int(count) for count in report.views]
    if report.model is not None:
        axes.plot(
            counts, _values(report.views.values(), measure), "o-", label=_plain(report.model.name)
        )
    for name, label in BASELINES.items():
        if any(name not in score.baselines for score in report.views.values()):
            continue  # a report from before this baseline
        scores = [score.baselines[name] for score in report.views.values()]
        axes.plot(counts, _values(scores, measure), "o--", label=label)
    axes.set(xlabel="input views", ylabel=MEASURES[measure], xticks=counts)
    count = len(report.objects)
    objects = f"{count} object{'' if count == 1 else 's'}"
    changes = "".join(f", {name} {value:g}" for name, value in report.protocol.changes.items())
    axes.set_title(f"{objects}, {_target_count(report)} held-out views each{changes}")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file)


def _plain(name: str) -> str:
    """Write a name so that nothing in it is a formula."""
    return shown(name).replace("$", r"\$")


def _values(scores: Iterable[Scores], measure: str) -> list[float]:
    values = (getattr(one, measure) for one in scores)
    return [math.nan if value is None else value for value in values]


def _target_count(report: Report) -> int:
    return sum(len(frames) for frames in report.protocol.targets.values())
