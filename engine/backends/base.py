"""Where arrays live and stages run: the seam between the engine and the CPU or a GPU."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from geolrm.engine.bundle.plan import Role, Stage
from geolrm.engine.features import Array, PlacedViews
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.options import RunSettings
from geolrm.engine.scene import Scene
from geolrm.engine.system.output import Output
from geolrm.engine.views.preprocessing import Views

if TYPE_CHECKING:
    from geolrm.engine.cuda.array import Device

__all__ = ["Array", "Backend", "PlanRunner"]


class PlanRunner(Protocol):
    """One stage of a bundle, ready to run."""

    stage: Stage  # its plan
    role: Role  # what it is in the model
    seconds: dict[str, float]  # by kind of step, summed until cleared; empty where unknown

    def run(self, inputs: dict[str, Any], outputs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Execute all steps; outputs that are not given get memory that no later run reuses."""
        ...


class Backend(Protocol):
    """What the engine asks of the CPU or of a GPU; arrays are the backend's own."""

    stages: Mapping[str, PlanRunner]
    threads: int  # of the work that runs on the CPU
    description: str  # for ``repr``
    lock: threading.RLock  # of whoever runs a stage

    @property
    def device(self) -> "Device | None":
        """The GPU; None on the CPU."""
        ...

    def check_memory(self, views: int, anchors: int) -> None:
        """Refuse a run that does not fit; called before anything of it is done."""
        ...

    def plan_memory(self, views: int, anchors: int) -> Any:
        """Plan the GPU memory of a run; None on the CPU."""
        ...

    def place(self, views: Views | PlacedViews) -> PlacedViews:
        """Let stages read views where they run; what is placed already is left alone."""
        ...

    def put(self, array: Array) -> Array:
        """Bring an array to where stages read it; what is there already is left alone."""
        ...

    def view_batches(self, views: int) -> list[slice]:
        """Choose which of V views to encode together."""
        ...

    def empty_features(self, stage: str, views: int) -> Array:
        """Allocate the features of V views, [V, L, C]."""
        ...

    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Join arrays along the first axis."""
        ...

    def choose_anchors(self, logits: Array, settings: RunSettings) -> tuple[Array, int]:
        """Choose occupied voxels of logits [G, G, G], at most the limit, in raster order.

        Returns:
            Anchors [N, 3], padded where the model needs it, and the number of occupied voxels.
        """
        ...

    def rope_indices(self, anchors: Array) -> Array:
        """Turn anchors [N, 3] into the int64 [N, 3] that rotate queries and keys."""
        ...

    def gaussians(self, arrays: Mapping[str, Array]) -> Gaussians:
        """Make Gaussians of what the reconstruction yields, without moving it."""
        ...

    def deliver(self, scene: Scene, output: Output) -> Scene:
        """Bring a scene to where it was asked for; called when a stage of the result is done."""
        ...
