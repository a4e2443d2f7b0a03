"""Where arrays live and stages run: the seam between the engine and the CPU or a GPU."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from geolrm.engine.anchors import AnchorChoice
from geolrm.engine.backends.selection import Selected, select_backend
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.plan import Role, Stage
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.features import Array
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.system.cores import usable_cores

if TYPE_CHECKING:
    from geolrm.engine.cuda.device import Device

__all__ = ["Array", "Backend", "PlanRunner", "open_backend"]


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

    def put(self, array: Array) -> Array:
        """An array as the stages read it; one that is the backend's already is left alone."""
        ...

    def put_gaussians(self, gaussians: Gaussians) -> Gaussians:
        """As :meth:`put`, for Gaussians."""
        ...

    def view_batches(self, views: int) -> list[slice]:
        """Which of V views to encode together."""
        ...

    def empty_features(self, stage: str, views: int) -> Array:
        """Memory for the features of V views, [V, L, C]."""
        ...

    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Along the first axis."""
        ...

    def select(self, logits: Array, choice: AnchorChoice) -> tuple[Array, int]:
        """Positions of the chosen anchors [M, 3], and the number of occupied voxels.

        They are padded where the model needs it.
        """
        ...

    def rope_indices(self, anchors: Array) -> Array:
        """int64 [M, 3]."""
        ...

    def fetch(self, arrays: Mapping[str, Array]) -> dict[str, NDArray]:
        """All of them on the host."""
        ...

    def check_memory(self, views: int, tokens: int) -> None:
        """Refuse a run that does not fit, before it starts."""
        ...


def open_backend(
    asked: str, bundle: Bundle, threads: int | None, device: int
) -> tuple[Selected, Backend]:
    """The backend with all stages loaded, and why it is that one.

    ``auto`` falls back to the CPU also where the GPU's part does not load.
    """
    from geolrm.engine.backends.cpu.backend import HostBackend

    threads = threads or usable_cores()
    selected = select_backend(asked, bundle, device)
    if selected.target is not None:
        from geolrm.engine.backends.cuda.backend import DeviceBackend

        try:
            return selected, DeviceBackend(bundle, selected, threads, device)
        except GeoLRMError as error:
            if asked != "auto":
                raise
            selected = Selected("onnxruntime", f"not {selected.name}: {error}")
    return selected, HostBackend(bundle, threads)
