"""``--quality``, and what ``geolrm run --json`` says of the refinement."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from geolrm.engine.refinement.budget import Quality, check_quality

if TYPE_CHECKING:
    from geolrm.engine.scene import Scene

QUALITY_HELP = "fast, balanced, best, or seconds a run: how much refinement on the input views."


def parse_quality(text: str | None) -> Quality | None:
    """Parse a name, or seconds such as ``2.5``; None stays None.

    Raises:
        InputError: It is neither.
    """
    if text is None:
        return None
    try:
        quality = float(text)
    except ValueError:
        quality = cast(Quality, text)
    return check_quality(quality)


def refinement_summary(scene: Scene) -> dict[str, Any] | None:
    """Collect how far the refinement got; None: there was none."""
    progress = scene.refinement
    if progress is None:
        return None
    looks = [{"steps": steps, "psnr": round(psnr, 2)} for steps, psnr in progress.residuals]
    return asdict(progress) | {"residuals": looks}
