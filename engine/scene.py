"""The result of a reconstruction."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians import Gaussians
from geolrm.engine.preprocessing import Views
from geolrm.engine.rendering import Posed, Renders, render


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Gaussians of one object, and what led to them."""

    gaussians: Gaussians
    anchors: NDArray[np.float32]  # [M, 3] object frame; where nothing was refined, in
    # the order of the Gaussians, the same number of each
    logits: NDArray[np.float32] | None  # [G, G, G] occupancy, x slowest; None: anchors were given
    num_occupied: int  # voxels with a positive logit, before the subset was taken
    views: Views  # what the model saw
    timings: dict[str, float] = field(default_factory=dict)  # seconds per stage

    def render(
        self, cameras: Posed | None = None, size: tuple[int, int] | None = None, **options: Any
    ) -> Renders:
        """Draw the scene; without cameras, as the model's input views see it.

        Args:
            cameras: V cameras; None takes the input views.
            size: (width, height); None takes the size of the input views.
            options: As :func:`geolrm.render`.
        """
        if cameras is None:
            cameras = self.views
        if size is None:
            size = (self.views.images.shape[-1],) * 2
        return render(self.gaussians, cameras, size, **options)

    def __repr__(self) -> str:
        return (
            f"Scene({len(self.gaussians):,} Gaussians from {len(self.anchors):,} anchors, "
            f"{len(self.views)} views, {self.timings.get('total', 0):.2f} s)"
        )
