"""The stage of the learned refinement: steps from gradients of inputs, judged on other views."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.learned import parameters_of, rows_of, summed
from geolrm.engine.refinement.splat_descent import to_gaussians, to_parameters, view_gradients
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.refinement.visibility import drop_hidden, shown_pixels
from geolrm.engine.rendering.frame import Frame
from geolrm.export.model import SplatUpdateConfig
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.export.model.splat_update import COLOR, LOG_SCALE, LOGIT, MEAN, QUAT, SplatUpdate
from geolrm.training.episodes import Episode
from geolrm.training.rasterize import Rasterized


class Judged(NamedTuple):
    """What rendered targets cost: the weighted loss, its terms by name, and the images."""

    total: Tensor
    terms: dict[str, Tensor]
    rendered: Rasterized


Judge = Callable[[DecodedGaussians, Tensor], Judged]  # of splats on a background [3]


def refine(
    update: SplatUpdate,
    config: SplatUpdateConfig,
    decoded: DecodedGaussians,
    episode: Episode,
    judge: Judge,
    generator: torch.Generator,
    threads: int = 1,
) -> Judged | None:
    """Take the network's steps on splats, and judge each on the targets.

    ::

        splats -> gradients over some inputs -> update -> new splats -> targets: loss of the step
          ^                                                  | detached
          '--------------------------------------------------'

    The loss of a step reaches the weights through this step's change alone: gradients of the inputs
    are not differentiated again, and a later step starts from splats as given numbers.

    Args:
        update: The network.
        config: Number of steps, and of views that a step compares at most.
        decoded: Of the reconstruction; those that no camera sees are dropped, as the engine does.
        episode: The inputs that gradients are of; the native comparison runs on the CPU, whatever
            device the tensors are on.
        judge: Compares splats with the targets on a background.
        generator: Of views and backgrounds.
        threads: Of the comparison; they never change the result.

    Returns:
        The mean loss of the steps; the terms after the last, with ``mse_before`` of the splats
        before the first on the same background and the ``gain`` in dB; the last images. None: a
        step made splats that are no numbers.
    """
    device = decoded.means.device
    arrays = {name: part.detach().float().cpu().numpy() for name, part in decoded._asdict().items()}
    origin = drop_hidden(Gaussians(**arrays), threads)
    targets = input_targets(episode)
    start = torch.from_numpy(rows_of(to_parameters(origin)))
    splats, mean, square = start.to(device), torch.zeros_like(start), torch.zeros_like(start)
    start, mean, square = splats, mean.to(device), square.to(device)
    number_of = lambda value: torch.tensor(float(value), device=device)  # noqa: E731
    weight = torch.from_numpy(shown_pixels(origin, targets.frame, threads))
    weight = (REFERENCE_SIZE / targets.size) ** 2 * weight.to(device)
    totals = []
    for step in range(1, config.steps + 1):
        order = torch.randperm(len(targets), generator=generator)
        chosen = sorted(order[: config.views].tolist())
        background = torch.rand(3, generator=generator).numpy()
        found = summed_gradients(splats, origin, targets, chosen, background, threads)
        splats, mean, square = update(
            splats, start, *(part.to(device) for part in found), weight, mean, square,
            number_of(len(chosen)), number_of(step), number_of(step / config.steps),
        )  # fmt: skip
        if not bool(torch.isfinite(splats).all()):
            return None
        shade = torch.rand(3, generator=generator)
        judged = judge(activated(splats), shade)
        totals.append(judged.total)
        splats = splats.detach()
    with torch.no_grad():
        before = judge(activated(start), shade).terms["mse"]
    gain = 10 * torch.log10(before / judged.terms["mse"].detach())
    terms = {**judged.terms, "mse_before": before, "gain": gain}
    return Judged(torch.stack(totals).mean(), terms, judged.rendered)


def input_targets(episode: Episode) -> Targets:
    """Return the inputs as a refinement compares them: where nothing is known, nothing counts."""
    planes = episode.foreground.cpu().permute(0, 2, 3, 1).numpy()
    cameras = Cameras(episode.c2w.cpu().numpy(), episode.intrinsics.cpu().numpy())
    valid = None if episode.valid is None else episode.valid.cpu().numpy()
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

    Inputs have the size that the network reads, where the engine compares images of 256 px: the
    loss is a sum over pixels, so a pixel counts as many as it covers there. That costs nothing,
    where images of 256 px would have to be rendered beside, and objects with fixed images lack
    them.

    Returns:
        The sum over views [14, N], the sum of absolute values [14, N], and how many views see each
        splat [N]; on the CPU.
    """
    candidate = to_gaussians(parameters_of(splats.cpu().numpy()), origin)
    pixel = np.float32((REFERENCE_SIZE / targets.size) ** 2)
    each = view_gradients(candidate, targets, chosen, background, threads)
    gradient, magnitude, seen = map(torch.from_numpy, summed(pixel * rows_of(g) for g in each))
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
