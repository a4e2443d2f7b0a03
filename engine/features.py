"""What passes between the stages: image features of the views, and the proposal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Features:
    """Image features of V views for both stages; one array where the encoder is shared."""

    __slots__ = ("proposal", "reconstruction")

    def __init__(self, proposal: NDArray[np.float32], reconstruction: NDArray[np.float32]):
        self.proposal = proposal  # [V, L, C]
        self.reconstruction = reconstruction  # [V, L, C]

    @staticmethod
    def join(parts: "Sequence[Features]") -> "Features":
        """Features of views one after another."""
        proposal = np.concatenate([part.proposal for part in parts])
        if all(part.proposal is part.reconstruction for part in parts):
            return Features(proposal, proposal)
        return Features(proposal, np.concatenate([part.reconstruction for part in parts]))


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Occupancy of the voxel grid."""

    logits: NDArray[np.float32]  # [G, G, G], x slowest; occupied where positive
    volume: NDArray[np.float32] | None = None  # [1, C, G, G, G] that anchors read, with cues
