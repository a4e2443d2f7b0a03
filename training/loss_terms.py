"""The terms of the losses by name, and their weighted sum."""

import torch
from torch import Tensor

from geolrm.export.model.proposal import Proposal
from geolrm.training import losses
from geolrm.training.config import LossConfig
from geolrm.training.episodes import Episode
from geolrm.training.perceptual import Dissimilarity
from geolrm.training.rasterize import Rasterized

OF_STAGE_1 = ("occupancy", "coarse")
# Added before a logarithm: what is below it is good enough.
SQUARED_FLOOR, FLOOR = 1e-5, 1e-3
SQUARED = ("mse", "alpha")


def occupancy_terms(proposal: Proposal, target: Tensor, weights: LossConfig) -> dict[str, Tensor]:
    """Compute the loss of stage 1; also of the first pass, ``coarse``, where there are two."""
    logits = {"occupancy": proposal.logits}
    if proposal.coarse_logits is not None:
        logits["coarse"] = proposal.coarse_logits
    return {
        name: losses.occupancy_loss(values, target, weights.affinity, weights.positive_weight)
        for name, values in logits.items()
    }


@torch.no_grad()
def intersection_over_union(logits: Tensor, target: Tensor) -> Tensor:
    """Return the share of proposed and true voxels that are both; 0 where there are none."""
    proposed, true = logits > 0, target > 0
    return (proposed & true).sum() / (proposed | true).sum().clamp_min(1)


def image_terms(
    rendered: Rasterized,
    episode: Episode,
    background: Tensor,
    weights: LossConfig,
    dissimilarity: Dissimilarity,
) -> dict[str, Tensor]:
    """Compute the loss terms of the rendered targets, those with a weight."""
    alpha = episode.target_rgba[..., 3]
    truth = episode.target_rgba[..., :3] + (1 - alpha[..., None]) * background
    error = rendered.rgb - truth
    terms = {"mse": error.square().mean(), "alpha": (rendered.alpha - alpha).square().mean()}
    if weights.l1:
        terms["l1"] = error.abs().mean()
    if weights.dissimilarity:
        terms["dissimilarity"] = dissimilarity(
            rendered.rgb.permute(0, 3, 1, 2), truth.permute(0, 3, 1, 2)
        )
    # Rendered depth is a sum over alpha, so it is held against alpha times the true depth; a
    # normalised depth would let opacity collapse at no cost.
    depth, known = episode.target_depth, (episode.target_depth > 0) | (alpha == 0)
    if weights.depth_l1:
        terms["depth_l1"] = ((rendered.depth - depth).abs() * known).mean()
    if weights.edge_log_depth:
        mask = (alpha > 0)[:, None]
        terms["edge_log_depth"] = losses.edge_log_depth(
            rendered.depth[:, None], depth[:, None], truth.permute(0, 3, 1, 2), mask
        )
    if weights.depth_variation:
        terms["depth_variation"] = losses.total_variation(rendered.depth)
    return terms


def weight_of(name: str, weights: LossConfig) -> float:
    """Return the weight of a loss term; the coarse occupancy counts half."""
    if name == "coarse":
        return 0.5 * weights.occupancy
    return getattr(weights, name)


def weighted_sum(terms: dict[str, Tensor], weights: LossConfig) -> Tensor:
    """Add up the terms that have gradients, by their weights; the others only inform."""
    device = next(iter(terms.values())).device
    return sum(
        (
            weight_of(name, weights) * counted(name, term, weights)
            for name, term in terms.items()
            if term.requires_grad
        ),
        start=torch.zeros((), device=device),
    )


def counted(name: str, term: Tensor, weights: LossConfig) -> Tensor:
    """Return a term as it counts: itself, or its logarithm."""
    if not weights.logarithmic or name in OF_STAGE_1:
        return term
    return torch.log(term + (SQUARED_FLOOR if name in SQUARED else FLOOR))
