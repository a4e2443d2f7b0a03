"""Prepare a model for a stage, which trains one network or several."""

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
    """Set training mode; freeze other stages' networks, with statistics and without dropout."""
    model.train()
    for network in idle_networks(model, stage):
        network.requires_grad_(False).eval()


def idle_networks(model: GeoLRM, stage: Stage) -> list[nn.Module]:
    """List the networks of a model that a stage does not train."""
    trained: dict[Stage, tuple[nn.Module | None, ...]] = {
        "both": (model.serializer, model.lrm_generator),
        "proposal": (model.serializer,),
        "reconstruction": (model.lrm_generator,),
        "refinement": (model.splat_update, model.splat_closing),
        "closing": (model.splat_closing,),
    }
    networks = (
        model.serializer, model.lrm_generator, model.splat_update, model.splat_closing,
    )  # fmt: skip
    return [each for each in networks if each is not None and each not in trained[stage]]


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
