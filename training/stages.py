"""Prepare a model for a stage, which trains one network or both."""

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geolrm.export.model import GeoLRM
from geolrm.export.model.transformer import Block
from geolrm.training.config import Stage


def prepare(model: GeoLRM, stage: Stage) -> None:
    """Set training mode; freeze the other stage's network, with its statistics, without dropout."""
    model.train()
    idle: nn.Module | None = None
    if stage == "proposal":
        idle = model.lrm_generator
    elif stage == "reconstruction":
        idle = model.serializer
    if idle is not None:
        idle.requires_grad_(False).eval()


def recompute_blocks(model: GeoLRM) -> None:
    """Let transformer blocks forget their activations and compute them again for gradients."""
    for module in model.modules():
        if isinstance(module, Block):
            module.forward = _recomputed(module.forward)


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(forward)
    def run(*inputs: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return cast(Tensor, checkpoint(forward, *inputs, use_reentrant=False))

    return run
