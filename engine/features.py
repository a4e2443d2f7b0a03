"""What passes between the stages: placed views, their features, and the proposal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from geolrm.engine.views.preprocessing import Views

Array = Any  # the backend's: NumPy on the CPU, else in GPU memory; numpy.asarray takes both


class PlacedViews:
    """The arrays of views where a backend reads them, each put there when first asked for.

    Args:
        views: V views.
        put: Brings an array of the views, by its name, to the backend.
    """

    def __init__(self, views: Views, put: Callable[[Views, str], Array]):
        self._views, self._put = views, put
        self._arrays: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = self._put(self._views, name)
        return self._arrays[name]


class Features:
    """Image features of V views for both stages; one array where the encoder is shared.

    They are in the memory and the precision of the engine's backend.
    """

    __slots__ = ("proposal", "reconstruction")

    def __init__(self, proposal: Array, reconstruction: Array):
        self.proposal = proposal  # [V, L, C]
        self.reconstruction = reconstruction  # [V, L, C]

    @staticmethod
    def join(
        groups: "Sequence[Features]", concatenate: Callable[[list[Array]], Array]
    ) -> "Features":
        """Join the features of groups of views, one after another; a shared array stays shared."""
        proposal = concatenate([features.proposal for features in groups])
        if all(features.proposal is features.reconstruction for features in groups):
            return Features(proposal, proposal)
        return Features(proposal, concatenate([features.reconstruction for features in groups]))


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """The occupancy of the voxel grid, as logits."""

    logits: Array  # float32 [G, G, G], x slowest; occupied where positive
    volume: Array | None = None  # float32 [1, C, G, G, G] that anchors read, with cues
