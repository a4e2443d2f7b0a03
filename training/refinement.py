"""The stage of the learned refinement: steps from gradients of inputs, judged on other views."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.refinement.budget import budget_of
from geolrm.engine.refinement.draws import Draws
from geolrm.engine.refinement.learned import parameters_of, rows_of, summed
from geolrm.engine.refinement.refine import falling_shares, views_per_step
from geolrm.engine.refinement.splat_descent import (
    HostSplatDescent,
    rates_of,
    to_gaussians,
    to_parameters,
    view_gradients,
)
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.refinement.visibility import drop_hidden, shown_pixels, shows
from geolrm.engine.rendering.frame import Frame
from geolrm.export.model import SplatUpdateConfig
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.export.model.splat_update import COLOR, LOG_SCALE, LOGIT, MEAN, QUAT
from geolrm.training.episodes import Episode
from geolrm.training.rasterize import Rasterized


class Judged(NamedTuple):
    """What rendered targets cost: the weighted loss, its terms by name, and the images."""

    total: Tensor
    terms: dict[str, Tensor]
    rendered: Rasterized


Judge = Callable[[DecodedGaussians, Tensor], Judged]  # of splats on a background [3]
Learn = Callable[[Tensor], None]  # from the loss of one step of a network


@dataclass(frozen=True)
class Network:
    """A network of the learned refinement, and how its steps are taken."""

    module: nn.Module
    config: SplatUpdateConfig

    @property
    def learns(self) -> bool:
        """Tell whether it is trained."""
        return any(parameter.requires_grad for parameter in self.module.parameters())


def refine(
    update: Network,
    closing: Network | None,
    decoded: DecodedGaussians,
    episode: Episode,
    judge: Judge,
    generator: torch.Generator,
    threads: int = 1,
    learn: Learn | None = None,
) -> Judged | None:
    """Take the networks' steps on splats, judge each on the targets, and learn from it.

    ::

        splats -> gradients over some inputs -> update -> new splats -> targets: loss of the step
          ^                                       ^          | detached            |
          '---------------------------------------|----------'                     |
                                                  '------------ learn -------------'

    The loss of a step reaches the weights through this step's change alone: gradients of the inputs
    are not differentiated again, and a later step starts from splats as given numbers. Before the
    closing network takes its own, the splats go down as in the engine's default quality.

    Args:
        update: Takes the first steps.
        closing: Takes the last; None: there are none.
        decoded: Of the reconstruction; those that no camera sees are dropped, as the engine does.
        episode: The inputs that gradients are of; the native comparison runs on the CPU, whatever
            device the tensors are on.
        judge: Compares splats with the targets on a background.
        generator: Of views and backgrounds.
        threads: Of the comparison; they never change the result.
        learn: Is given each step's loss before the next step is taken; None: nothing is learned.

    Returns:
        The mean loss of the first steps, plus that of the last, both detached; the terms after the
        very last, with ``mse_before`` of the splats before the first on the same background and the
        ``gain`` in dB; the last images. None: a step made splats that are no numbers.
    """
    device = decoded.means.device
    arrays = {name: part.detach().float().cpu().numpy() for name, part in decoded._asdict().items()}
    origin = drop_hidden(Gaussians(**arrays), threads)
    scene = Refined(origin, input_targets(episode), judge, learn, generator, threads)
    start = torch.from_numpy(rows_of(to_parameters(origin))).to(device)
    most = budget_of("balanced", len(scene.targets)).learned
    taken = scene.steps(update, start, start, most)
    if taken is None:
        return None
    splats, judged, total = taken
    if closing is not None:
        taken = scene.steps(closing, *scene.descend(splats), closing.config.steps)
        if taken is None:
            return None
        splats, judged, last = taken
        total = total + last
    with torch.no_grad():
        before = judge(activated(start), scene.shade).terms["mse"]
    gain = 10 * torch.log10(before / judged.terms["mse"].detach())
    return Judged(total, {**judged.terms, "mse_before": before, "gain": gain}, judged.rendered)


@dataclass
class Refined:
    """An object's inputs, and what the steps on its splats draw at random."""

    origin: Gaussians
    targets: Targets
    judge: Judge
    learn: Learn | None
    generator: torch.Generator
    threads: int
    shade: Tensor = field(default_factory=lambda: torch.ones(3))  # [3], of the last judgement

    def steps(
        self, network: Network, splats: Tensor, start: Tensor, most: int
    ) -> tuple[Tensor, Judged, Tensor] | None:
        """Take a network's steps on splats [14, N], at most so many, and learn from each.

        Of a frozen network the last step alone is judged, and nothing is learned.

        Returns:
            The splats after them, the last judgement, and the mean loss; None: they are no numbers.
        """
        device, config = splats.device, network.config
        number_of = lambda value: torch.tensor(float(value), device=device)  # noqa: E731
        mean, square = torch.zeros_like(splats), torch.zeros_like(splats)
        shown = shown_pixels(self._gaussians(splats), self.targets.frame, self.threads)
        weight = torch.from_numpy(shown).to(device)
        totals: list[Tensor] = []
        most = min(config.steps, most)
        for step in range(1, most + 1):
            order = torch.randperm(len(self.targets), generator=self.generator)
            chosen = sorted(order[: config.views].tolist())
            background = torch.rand(3, generator=self.generator).numpy()
            found = summed_gradients(
                splats, self.origin, self.targets, chosen, background, self.threads
            )
            splats, mean, square = network.module(
                splats, start, *(part.to(device) for part in found), weight, mean, square,
                number_of(len(chosen)), number_of(step), number_of(step / config.steps),
            )  # fmt: skip
            if not bool(torch.isfinite(splats).all()):
                return None
            self.shade = torch.rand(3, generator=self.generator)
            if network.learns or step == most:
                judged = self.judge(activated(splats), self.shade)
                if network.learns and self.learn is not None:
                    self.learn(judged.total)
                totals.append(judged.total.detach())
            splats = splats.detach()
        return splats, judged, torch.stack(totals).mean()

    def descend(self, splats: Tensor) -> tuple[Tensor, Tensor]:
        """Take the descent of the engine's default quality on splats [14, N].

        Returns:
            Those after it that have not come to lie inside [14, M], and the same before it.
        """
        views = len(self.targets)
        budget = budget_of("balanced", views)
        seed = int(torch.randint(1 << 31, (), generator=self.generator))
        draws, together = Draws(seed, list(range(views))), views_per_step(views)

        def go_down(start: Tensor, shares: list[float]) -> Tensor:
            moving = HostSplatDescent(
                self._gaussians(start), self.targets, rates_of(budget), self.threads
            )
            for share in shares:
                moving.step(draws.views(together), draws.background(), share, None)
            return torch.from_numpy(rows_of(moving.parameters())).to(splats.device)

        current = go_down(splats, [1.0] * (budget.steps - budget.annealed))
        kept = torch.from_numpy(shows(self._gaussians(current), self.threads)).to(splats.device)
        return go_down(current[:, kept], falling_shares(budget.annealed)), splats[:, kept]

    def _gaussians(self, splats: Tensor) -> Gaussians:
        return to_gaussians(parameters_of(splats.cpu().numpy()), self.origin)


def input_targets(episode: Episode) -> Targets:
    """Return the inputs as a refinement compares them: where nothing is known, nothing counts."""
    known = episode.reference_valid
    assert episode.reference is not None, "examples of this stage have it"
    planes = episode.reference.cpu().permute(0, 2, 3, 1).numpy()
    cameras = Cameras(episode.c2w.cpu().numpy(), episode.intrinsics.cpu().numpy())
    valid = None if known is None else known.cpu().numpy()
    return Targets(
        np.ascontiguousarray(planes[..., :3]),
        np.ascontiguousarray(planes[..., 3]),
        Frame.of(cameras, (planes.shape[2], planes.shape[1])),
        valid,
        valid,
    )


def summed_gradients(
    splats: Tensor,
    origin: Gaussians,
    targets: Targets,
    chosen: list[int],
    background: np.ndarray,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate the loss over each chosen input to splats [14, N].

    Returns:
        The sum over views [14, N], the sum of absolute values [14, N], and how many views see each
        splat [N]; on the CPU.
    """
    candidate = to_gaussians(parameters_of(splats.cpu().numpy()), origin)
    each = view_gradients(candidate, targets, chosen, background, threads)
    gradient, magnitude, seen = map(torch.from_numpy, summed(map(rows_of, each)))
    return gradient, magnitude, seen


def activated(splats: Tensor) -> DecodedGaussians:
    """Activate splats [14, N] as the engine does; gradients pass."""
    return DecodedGaussians(
        splats[MEAN].T,
        splats[LOGIT][0].sigmoid(),
        splats[LOG_SCALE].exp().T,
        F.normalize(splats[QUAT], dim=0).T,
        splats[COLOR].clamp(0, 1).T,
    )
