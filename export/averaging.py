"""Average a checkpoint with another of the same model, such as the one its training went on from.

Weights halfway between a model and what further training on other data made of it often do better
on both than either: what one has learned by heart and the other has not is evened out.
"""

from dataclasses import asdict, replace
from typing import Any

import torch

from geolrm.engine.errors import CheckpointError
from geolrm.export.checkpoint import LEARNED_REFINEMENT
from geolrm.export.model import GeoLRM, GeoLRMConfig
from geolrm.export.model.checks import differences


@torch.no_grad()
def average(model: GeoLRM, other: GeoLRM, names: tuple[str, str]) -> GeoLRM:
    """Return ``other`` with the means of its weights and those of ``model``.

    It keeps what may differ: its learned refinement, which further training of the other networks
    does not have, and its occupancy bias. Counters, which have no mean, are its own, too.

    Args:
        model: Of a checkpoint.
        other: Of another; is changed.
        names: Of the two, for the error.

    Raises:
        CheckpointError: They are not of one model.
    """
    differing = differences(comparable(model.config), comparable(other.config))
    if differing:
        raise CheckpointError(
            f"{names[0]!r} and {names[1]!r} are of different models ({', '.join(differing[:3])}); "
            "give a checkpoint that the training of the first went on from"
        )
    weights = model.state_dict()
    for key, mean in other.state_dict().items():
        if mean.is_floating_point() and not key.startswith(LEARNED_REFINEMENT):
            mean.add_(weights[key]).mul_(0.5)
    return other


def comparable(config: GeoLRMConfig) -> dict[str, Any]:
    """Return a configuration without what two checkpoints of one model may differ in."""
    proposal = replace(config.proposal, occupancy_bias=0.0)
    return asdict(replace(config, update=None, closing=None, proposal=proposal))
