"""Scores over the number of input views, as images. Needs matplotlib."""

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path

from geolrm.bench.quality.dataset import TRANSFORMS
from geolrm.bench.quality.scores import BASELINES, Report, Scores
from geolrm.engine.system.atomic import atomic_file
from geolrm.engine.system.shown_text import shown

MEASURES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "lpips": "LPIPS", "cd": "Chamfer distance"}
TITLE_WIDTH = 60  # letters of a line


def measured(report: Report) -> list[str]:
    """List the MEASURES of a report: LPIPS is there only where weights were given."""
    white = [scores.baselines["white"] for scores in report.views.values()]
    weighed = any(isinstance(scores.lpips, float) for scores in white)
    return [name for name in MEASURES if name != "lpips" or weighed]


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
    axes.set_title("\n".join(textwrap.wrap(title(report), TITLE_WIDTH)))
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file)


def title(report: Report) -> str:
    """Say what was scored: how many objects and views, of which poses, and what was changed."""
    count, protocol = len(report.objects), report.protocol
    parts = [f"{count} object{'' if count == 1 else 's'}"]
    parts.append(f"{_target_count(report)} held-out views each")
    if protocol.transforms != TRANSFORMS:
        parts.append(_plain(protocol.transforms))
    parts += [f"{name} {value:g}" for name, value in protocol.changes.items()]
    return ", ".join(parts)


def _plain(name: str) -> str:
    """Write a name so that nothing in it is a formula."""
    return shown(name).replace("$", r"\$")


def _values(scores: Iterable[Scores], measure: str) -> list[float]:
    values = (getattr(one, measure) for one in scores)
    return [value if isinstance(value, int | float) else math.nan for value in values]


def _target_count(report: Report) -> int:
    return sum(len(frames) for frames in report.protocol.targets.values())
