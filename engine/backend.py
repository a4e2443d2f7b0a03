"""Where arrays live and stages run: the seam between the engine and the CPU or a GPU."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from geolrm.engine.bundle import Bundle
from geolrm.engine.cores import usable_cores
from geolrm.engine.features import Array
from geolrm.engine.selection import AnchorChoice

if TYPE_CHECKING:
    from geolrm.engine.backend_selection import Selected

__all__ = ["Array", "Backend", "PlanRunner", "open_backend"]


class PlanRunner(Protocol):
    """One stage of a bundle, ready to run."""

    seconds: dict[str, float]  # by kind of step, summed until cleared; empty where unknown

    def run(self, inputs: dict[str, Any], outputs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Execute all steps; outputs that are not given get memory that no later run reuses."""
        ...


class Backend(Protocol):
    """What the engine asks of the CPU or of a GPU; arrays are the backend's own."""

    stages: Mapping[str, PlanRunner]
    threads: int  # of the work that runs on the CPU
    description: str  # for ``repr``

    def put(self, array: Array) -> Array:
        """An array as the stages read it; one that is the backend's already is left alone."""
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


def open_backend(bundle: Bundle, selected: "Selected", threads: int | None, device: int) -> Backend:
    """The backend with all stages loaded."""
    from geolrm.engine.host_backend import HostBackend

    threads = threads or usable_cores()
    if selected.target is None:
        return HostBackend(bundle, threads)
    from geolrm.engine.cuda.backend import DeviceBackend

    return DeviceBackend(bundle, selected, threads, device)
