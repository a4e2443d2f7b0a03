"""From an example to its losses: both stages in one differentiable pass."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geolrm.engine.selection import select_anchors
from geolrm.engine.voxel_grid import voxel_axis
from geolrm.export.model import GeoLRM
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.training import losses
from geolrm.training.config import LossConfig, Recipe
from geolrm.training.episodes import Episode
from geolrm.training.rasterize import Rasterized, rasterize

BUCKET = 128  # numbers of anchors are multiples of this
MIN_ANCHORS = 64  # a proposal below this is replaced by the truth, so that stage 2 always learns


class Outcome(NamedTuple):
    """Loss terms by name (unweighted), their weighted sum, and what was drawn."""

    total: Tensor
    terms: dict[str, Tensor]
    gaussians: DecodedGaussians
    drawn: Rasterized


class Objective(nn.Module):
    """The model with its losses: one module, so that data parallelism sees one forward."""

    def __init__(self, model: GeoLRM, recipe: Recipe, threads: int = 1):
        super().__init__()
        self.model, self.recipe, self.threads = model, recipe, threads
        axis = torch.from_numpy(voxel_axis(recipe.model.proposal.grid_size))
        self.register_buffer("axis", axis, persistent=False)

    def forward(self, episode: Episode, step: int, number: int) -> Outcome:
        """Losses of one example.

        Args:
            episode: The example.
            step: Of the run; early steps read true occupancy.
            number: Of the example in the run; seeds every random choice.
        """
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + number)
        model, weights = self.model, self.recipe.losses
        proposal_features, features = model.encode(
            episode.images, episode.c2w, episode.intrinsics
        )
        proposal = model.propose(proposal_features, episode.projection, episode.foreground)
        terms = {"occupancy": occupancy_term(proposal.logits, episode.occupancy, weights)}
        if proposal.coarse_logits is not None:
            terms["coarse"] = occupancy_term(proposal.coarse_logits, episode.occupancy, weights)
        anchors = self.choose_anchors(proposal.logits, episode, step, number, generator)
        gaussians = model.reconstruct(
            features, episode.projection, anchors, episode.foreground, proposal.volume
        )
        background = torch.rand(3, generator=generator)
        drawn = draw(gaussians, episode, background.tolist(), self.threads)
        terms |= image_terms(drawn, episode, background.to(drawn.rgb.device), weights)
        total = sum((weight_of(name, weights) * term for name, term in terms.items()))
        with torch.no_grad():
            both = ((proposal.logits > 0) & (episode.occupancy > 0)).sum()
            either = ((proposal.logits > 0) | (episode.occupancy > 0)).sum()
            terms["iou"] = both / either.clamp_min(1)
            terms["anchors"] = torch.tensor(float(len(anchors)))
        return Outcome(total, terms, gaussians, drawn)

    def choose_anchors(
        self,
        logits: Tensor,
        episode: Episode,
        step: int,
        number: int,
        generator: torch.Generator,
    ) -> Tensor:
        """[N, 3] anchors: the proposal's, or early in the run the true ones."""
        recipe = self.recipe
        share = 1 - step / max(recipe.true_anchor_steps, 1)
        scores = logits.detach()
        if torch.rand((), generator=generator) < share or (scores > 0).sum() < MIN_ANCHORS:
            scores = scores.sigmoid() + 4 * episode.occupancy - 2
        scores = fill_bucket(scores, recipe.max_anchors)
        chosen = select_anchors(scores.cpu().numpy(), recipe.max_anchors, seed=number)
        return torch.from_numpy(chosen.positions).to(logits.device)


def fill_bucket(scores: Tensor, limit: int) -> Tensor:
    """Shift scores so that the number above 0 is a multiple of ``BUCKET``, up to ``limit``.

    The next most likely voxels fill a bucket. Every new number of tokens makes the CPU's matrix
    library generate its code anew, which costs a tenth of a step.
    """
    count = int((scores > 0).sum())
    wanted = min(BUCKET * math.ceil(count / BUCKET), limit, scores.numel() - 1)
    if wanted <= count:
        return scores
    return scores - scores.flatten().topk(wanted + 1).values[-1]


def occupancy_term(logits: Tensor, target: Tensor, weights: LossConfig) -> Tensor:
    """Stage 1 loss with the recipe's weights."""
    return losses.occupancy_loss(logits, target, weights.affinity, weights.positive_weight)


def draw(
    gaussians: DecodedGaussians, episode: Episode, background: list[float], threads: int
) -> Rasterized:
    """Render the targets; gradients reach the Gaussians."""
    size = episode.target_rgba.shape[1]
    return rasterize(
        gaussians.means,
        gaussians.opacities,
        gaussians.scales,
        gaussians.quats,
        gaussians.colors,
        w2c=episode.target_w2c,
        intrinsics=episode.target_intrinsics,
        size=(size, size),
        threads=threads,
        background=background,
    )


def image_terms(
    drawn: Rasterized, episode: Episode, background: Tensor, weights: LossConfig
) -> dict[str, Tensor]:
    """Loss terms of the rendered targets, those with a weight."""
    alpha = episode.target_rgba[..., 3]
    truth = episode.target_rgba[..., :3] + (1 - alpha[..., None]) * background
    error = drawn.rgb - truth
    terms = {"mse": error.square().mean(), "alpha": (drawn.alpha - alpha).square().mean()}
    if weights.l1:
        terms["l1"] = error.abs().mean()
    if weights.dissimilarity:
        planes = (drawn.rgb.permute(0, 3, 1, 2), truth.permute(0, 3, 1, 2))
        terms["dissimilarity"] = 1 - losses.ssim(*planes)
    # Rendered depth is a sum over alpha, so it is held against alpha times the true depth; a
    # normalised depth would let opacity collapse at no cost.
    depth, known = episode.target_depth, (episode.target_depth > 0) | (alpha == 0)
    if weights.depth_l1:
        terms["depth_l1"] = ((drawn.depth - depth).abs() * known).mean()
    if weights.edge_log_depth:
        mask = (alpha > 0)[:, None]
        terms["edge_log_depth"] = losses.edge_log_depth(
            drawn.depth[:, None], depth[:, None], truth.permute(0, 3, 1, 2), mask
        )
    if weights.depth_variation:
        terms["depth_variation"] = losses.total_variation(drawn.depth)
    return terms


def weight_of(name: str, weights: LossConfig) -> float:
    """Weight of a loss term; the coarse occupancy counts half."""
    if name == "coarse":
        return 0.5 * weights.occupancy
    return getattr(weights, name)
