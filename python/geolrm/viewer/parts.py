"""Splats in parts, so that a page shows the object before all of them are there."""

import numpy as np

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.gaussians.thinning import importance

FIRST = 65_536  # splats of the first part
LATER = 131_072  # splats of each other part, at most


def split_by_importance(gaussians: Gaussians) -> list[Gaussians]:
    """Split into parts of falling :func:`~geolrm.engine.gaussians.thinning.importance`.

    Every splat is in one part, in its old order there; of none there are no parts. What is little
    more than a first part stays whole.
    """
    count = len(gaussians)
    if count <= 2 * FIRST:
        return [gaussians] if count else []
    ranked = np.argsort(-importance(gaussians), kind="stable")
    borders = range(FIRST, count, LATER)
    return [gaussians.select(np.sort(part)) for part in np.split(ranked, borders)]
