"""The result of a reconstruction."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians import Gaussians
from geolrm.engine.preprocessing import Views


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Gaussians of one object, and what led to them."""

    gaussians: Gaussians
    anchors: NDArray[np.float32]  # [M, 3] world frame, in the order of the Gaussians
    logits: NDArray[np.float32] | None  # [G, G, G] occupancy, x slowest; None: anchors were given
    num_occupied: int  # voxels with a positive logit, before the subset was taken
    views: Views  # what the model saw
    timings: dict[str, float] = field(default_factory=dict)  # seconds per stage

    def __repr__(self) -> str:
        return (
            f"Scene({len(self.gaussians):,} Gaussians from {len(self.anchors):,} anchors, "
            f"{len(self.views)} views, {self.timings.get('total', 0):.2f} s)"
        )
