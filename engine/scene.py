"""The result of a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.gaussians.notebooks import ShownInNotebooks
from geolrm.engine.refinement.alignment import Alignment
from geolrm.engine.refinement.progress import Progress
from geolrm.engine.rendering.frame import Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render
from geolrm.engine.views.preprocessing import Views

if TYPE_CHECKING:
    from geolrm.engine.cuda.device import Device


@dataclass(frozen=True, slots=True, eq=False)
class Scene(ShownInNotebooks):
    """Gaussians of one object, and what led to them.

    Of a GPU engine run with ``output="device"``, ``gaussians`` are
    :class:`geolrm.engine.backends.cuda.gaussians.DeviceGaussians`, and ``anchors`` and ``logits``
    are device arrays; :meth:`numpy` copies all of them.
    """

    gaussians: Gaussians
    anchors: NDArray[np.float32]  # [M, 3] object frame; where nothing was refined, in
    # the order of the Gaussians, the same number of each
    logits: NDArray[np.float32] | None  # [G, G, G] occupancy, x slowest; None: anchors were given
    num_occupied: int  # voxels with a positive logit, before the subset was taken
    views: Views  # what the model saw
    timings: dict[str, float] = field(default_factory=dict)  # seconds per stage
    gpu: Device | None = None  # that the engine runs on, and so renders with
    # The photographs beside the scene: residuals, refined poses, colours; None: nothing was refined
    alignment: Alignment | None = None
    refinement: Progress | None = None  # how far it got; None: nothing was refined

    def render(
        self,
        cameras: Posed | None = None,
        size: tuple[int, int] | None = None,
        *,
        backend: str = "auto",
        **options: Any,
    ) -> Renders:
        """Render the scene; without cameras, as the model's input views see it.

        Args:
            cameras: V cameras; None takes the input views.
            size: (width, height); None takes the size of the input views.
            backend: ``"auto"`` renders where the engine runs, ``"cpu"`` and ``"cuda"`` there.
            options: As :func:`geolrm.render`.
        """
        side = self.views.images.shape[-1]
        cameras = self.views if cameras is None else cameras
        size = (side, side) if size is None else size
        if backend == "auto" and self.gpu is not None:
            options["device"] = self.gpu
        return render(self.gaussians, cameras, size, backend=backend, **options)

    def numpy(self) -> Scene:
        """Copy all arrays to the host, and wait for the GPU."""
        logits = None if self.logits is None else np.asarray(self.logits)
        return replace(
            self, gaussians=self.gaussians.numpy(), anchors=np.asarray(self.anchors), logits=logits
        )

    def __reduce__(self) -> tuple[Any, ...]:
        host = self.numpy()  # what another process can read
        return Scene, (
            host.gaussians, host.anchors, host.logits, host.num_occupied, host.views, host.timings,
            None, host.alignment, host.refinement,
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"Scene({len(self.gaussians):,} Gaussians from {len(self.anchors):,} anchors, "
            f"{len(self.views)} views, {self.timings.get('total', 0):.2f} s)"
        )
