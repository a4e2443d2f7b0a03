"""How good reconstructions are: a fixed protocol, metrics, and baselines in the same table.

Example::

    from geolrm.bench.quality import evaluate

    report = evaluate("captures", views=[6, 12], model="mini")
    print(report.views["6"].psnr, report.views["6"].baselines["visual_hull"].psnr)
"""

from pathlib import Path
from typing import Any

from geolrm.bench.quality.evaluation import Evaluation, Shown
from geolrm.bench.quality.input_changes import InputChanges
from geolrm.bench.quality.protocol import DEFAULT_VIEWS, TARGET_GROUPS, TARGETS, input_frames
from geolrm.bench.quality.scores import ObjectScores, Report, Scores, ViewScores


def evaluate(dataset: str | Path, **options: Any) -> Report:
    """Check a dataset, run the engine over it, and score; options as :class:`Evaluation`."""
    return Evaluation(dataset, **options).run()


__all__ = [
    "DEFAULT_VIEWS",
    "TARGETS",
    "TARGET_GROUPS",
    "Evaluation",
    "InputChanges",
    "ObjectScores",
    "Report",
    "Scores",
    "Shown",
    "ViewScores",
    "evaluate",
    "input_frames",
]
