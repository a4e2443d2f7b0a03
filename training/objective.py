"""From an example to its losses: one stage, or both networks in one differentiable pass."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geolrm.engine.anchors import pad_anchors, select_anchors
from geolrm.engine.system.extras import require
from geolrm.export.model import GeoLRM
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.training import losses
from geolrm.training.config import Recipe
from geolrm.training.episodes import Episode
from geolrm.training.loss_terms import (
    image_terms,
    intersection_over_union,
    occupancy_terms,
    weighted_sum,
)
from geolrm.training.perceptual import Dissimilarity, load_lpips
from geolrm.training.rasterize import Rasterized
from geolrm.training.refinement import Judged, Learn, Network, refine
from geolrm.training.rendering import Rasterizer, render_targets

BUCKET = 128  # numbers of anchors are multiples of this
CPU = torch.device("cpu")
MIN_ANCHORS = 64  # a proposal below this is replaced by the truth, so that stage 2 always learns


class Outcome(NamedTuple):
    """Loss terms by name (unweighted), their weighted sum, and what was made of the example."""

    total: Tensor
    terms: dict[str, Tensor]
    logits: Tensor  # [G, G, G]
    rendered: Rasterized | None = None  # none in the proposal's stage


class Objective(nn.Module):
    """The model with its losses: one module, so that data parallelism sees one forward."""

    def __init__(
        self,
        model: GeoLRM,
        recipe: Recipe,
        rasterizer: Rasterizer,
        device: torch.device = CPU,
        threads: int = 1,
    ):
        super().__init__()
        self.model, self.recipe = model, recipe
        self.rasterizer, self.threads = rasterizer, threads
        self.dissimilarity: Dissimilarity = lambda rendered, truth: 1 - losses.ssim(rendered, truth)
        if recipe.losses.surface:
            require("scipy", "losses.surface", extra="training")
        if recipe.losses.lpips_weights is not None and recipe.losses.dissimilarity:
            self.dissimilarity = load_lpips(recipe.losses.lpips_weights, device)

    def forward(
        self, episode: Episode, step: int, number: int, learn: Learn | None = None
    ) -> Outcome:
        """Compute the losses of one example.

        Args:
            episode: The example.
            step: Of the run; early steps read true occupancy.
            number: Of the example in the run; seeds every random choice.
            learn: Is given the loss of each step of a refinement; None: nothing is learned.
        """
        recipe, stage, weights = self.recipe, self.recipe.stage, self.recipe.losses
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + number)
        learning = torch.is_grad_enabled()
        with torch.set_grad_enabled(learning and stage in ("both", "proposal")):
            features = self.model.serializer.encoder(*camera_views(episode))
            proposal = self.model.propose(
                features, episode.projection, episode.foreground, episode.valid
            )
        terms = {}
        if not recipe.refines:
            terms = occupancy_terms(proposal, episode.occupancy, weights)
        total, rendered = None, None
        if stage != "proposal":
            anchors = self.choose_anchors(proposal.logits, episode, step, number, generator)
            with torch.set_grad_enabled(learning and not recipe.refines):
                if self.model.lrm_generator.encoder is not None:
                    features = self.model.lrm_generator.encoder(*camera_views(episode))
                gaussians = self.model.reconstruct(
                    features, episode.projection, anchors, episode.foreground, proposal.volume,
                    episode.valid,
                )  # fmt: skip
            judged = None
            if len(anchors) and all(bool(torch.isfinite(tensor).all()) for tensor in gaussians):
                judged = self.judge(gaussians, episode, generator, learn)
            if judged is None:
                return broken(self.model, terms, proposal.logits)
            rendered = judged.rendered
            terms |= judged.terms
            terms["anchors"] = torch.tensor(float(len(anchors)))
            if recipe.refines:
                total = judged.total
        if total is None:
            total = weighted_sum(terms, weights)
        terms["iou"] = intersection_over_union(proposal.logits, episode.occupancy)
        return Outcome(total, terms, proposal.logits, rendered)

    def judge(
        self,
        gaussians: DecodedGaussians,
        episode: Episode,
        generator: torch.Generator,
        learn: Learn | None,
    ) -> Judged | None:
        """Compare Gaussians, or what the refinement makes of them, with the targets.

        The refinement learns from each of its steps. None: it made what is no number.
        """
        weights = self.recipe.losses

        def compare(splats: DecodedGaussians, background: Tensor) -> Judged:
            rendered = render_targets(splats, episode, background.tolist(), self.rasterizer)
            shade = background.to(rendered.rgb.device)
            terms = image_terms(rendered, episode, shade, weights, self.dissimilarity)
            if weights.surface and len(episode.surface):
                terms["surface"] = losses.surface_distance(
                    splats.means, splats.opacities, episode.surface
                )
            return Judged(weighted_sum(terms, weights), terms, rendered)

        if not self.recipe.refines:
            return compare(gaussians, torch.rand(3, generator=generator))
        model, config = self.model, self.recipe.model
        update, closing = (
            Network(network, part) if network is not None and part is not None else None
            for network, part in (
                (model.splat_update, config.update), (model.splat_closing, config.closing)
            )
        )  # fmt: skip
        assert update is not None, "the recipe was checked"
        return refine(update, closing, gaussians, episode, compare, generator, self.threads, learn)

    def choose_anchors(
        self,
        logits: Tensor,
        episode: Episode,
        step: int,
        number: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Choose anchors [N, 3]: the proposal's, or early in the run the true ones.

        A refinement always starts from the proposal's, as it will be used.
        """
        recipe = self.recipe
        share = 1 - step / max(recipe.true_anchor_steps, 1)
        if recipe.true_anchor_steps == 0:
            share = 0.0
        scores = logits.detach().nan_to_num()
        truth = torch.rand((), generator=generator) < share or (scores > 0).sum() < MIN_ANCHORS
        if truth and not recipe.refines:
            scores = scores.sigmoid() + 4 * episode.occupancy - 2
        padded = recipe.model.padded_tokens
        limit = min(recipe.max_anchors, padded or recipe.max_anchors)
        scores = fill_bucket(scores, limit)
        chosen = select_anchors(scores.cpu().numpy(), limit, seed=number)
        return torch.from_numpy(pad_anchors(chosen.positions, padded)).to(logits.device)


def camera_views(episode: Episode) -> tuple[Tensor, Tensor, Tensor]:
    """Return what an image encoder reads: images, c2w and intrinsics."""
    return episode.images, episode.c2w, episode.intrinsics


def broken(model: GeoLRM, terms: dict[str, Tensor], logits: Tensor) -> Outcome:
    """Make an outcome whose loss is no number, of Gaussians that cannot be rendered.

    The loss depends on all that is trained, so that it has gradients on every process.
    """
    sums = (part.sum() for part in model.parameters() if part.requires_grad)
    total = sum(sums, start=torch.zeros((), device=logits.device)) * float("nan")
    return Outcome(total, {**terms, "mse": total, "iou": total}, logits)


def fill_bucket(scores: Tensor, limit: int) -> Tensor:
    """Shift scores so that the number above 0 is a multiple of ``BUCKET``, up to ``limit``.

    The next most likely voxels fill a bucket. Every new number of anchors makes the CPU's matrix
    library generate its code anew, which costs a tenth of a step.
    """
    count = int((scores > 0).sum())
    wanted = min(BUCKET * math.ceil(max(count, 1) / BUCKET), limit, scores.numel() - 1)
    if wanted <= count:
        return scores
    return scores - scores.flatten().topk(wanted + 1).values[-1]
