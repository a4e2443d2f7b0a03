"""Learned refinement: a network that proposes how to change splats, from their gradients.

Adam on a few input images fits these images; it knows nothing of how objects look from elsewhere.
The update network reads, of each Gaussian, what it is, how it has changed, the gradient of the
rendering loss over the input views and how far the views agree on it, and what its neighbourhood
reads. It was trained so that views that are *not* among the inputs come out better.
"""

import torch
from torch import Tensor, nn

from geolrm.export.model.config import SplatUpdateConfig

# Columns of a splat: what is optimised.
MEAN, LOGIT, LOG_SCALE = slice(0, 3), slice(3, 4), slice(4, 7)
QUAT, COLOR = slice(7, 11), slice(11, 14)
COLUMNS = 14
ADAM_RATES = 3 * [2e-3] + [0.15] + 3 * [0.05] + 4 * [0.02] + 3 * [0.02]  # as the descent's
GROUP_OF_COLUMN = 3 * [0] + [1] + 3 * [2] + 4 * [3] + 3 * [4]
MOMENTS = (0.8, 0.95)
FLOOR = 1e-3  # added to Adam's denominator
VIEWS_A_STEP = 2.0  # of the descent: gradients are brought to as many
CELLS = 16  # of the object cube along an axis: a neighbourhood
USUAL_LOG_SCALE = -4.6
FEATURES = 66
MOST = 6.0  # of a feature, either way
GATES, OFFSETS = 5, 13  # outputs: factors of Adam's steps, and what is added to them
# Of what is added, at most: own deviations, logits, logarithms, half turns, colours.
REACH = 3 * [0.5] + [1.0] + 3 * [0.2] + 3 * [0.3] + 3 * [0.1]


class SplatUpdate(nn.Module):
    """One step for N splats of a scene; the same weights serve each step and each splat."""

    def __init__(self, config: SplatUpdateConfig):
        super().__init__()
        width, shared = config.width, config.shared
        self.read = nn.Sequential(
            nn.Linear(FEATURES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.tell = nn.ModuleList(nn.Linear(width, shared) for _ in range(2))
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Linear(width + shared, width), nn.SiLU()) for _ in range(2)
        )
        self.propose = nn.Linear(width, GATES + OFFSETS)
        nn.init.zeros_(self.propose.weight)  # so that it starts as Adam
        nn.init.zeros_(self.propose.bias)
        for name, values in (("rates", ADAM_RATES), ("reach", REACH)):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.register_buffer("group", torch.tensor(GROUP_OF_COLUMN), persistent=False)

    rates: Tensor  # [14]
    reach: Tensor  # [13]
    group: Tensor  # [14], the gate of each column

    def forward(
        self,
        splats: Tensor,
        start: Tensor,
        gradient: Tensor,
        magnitude: Tensor,
        seen: Tensor,
        mean: Tensor,
        square: Tensor,
        views: Tensor,
        step: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step.

        Args:
            splats: [N, 14] as they are: means, logit of the opacity, logarithms of scales,
                quaternion (wxyz, of any length), colour.
            start: [N, 14] as the reconstruction network made them.
            gradient: [N, 14], the loss's, summed over the views compared.
            magnitude: [N, 14], its absolute values, summed over the views.
            seen: [N] number of views that have a gradient.
            mean: [N, 14], Adam's moving average of gradients, 0 at first.
            square: [N, 14], that of their squares, 0 at first.
            views: [] number of views compared.
            step: [] number of this step, from 1 on.
            progress: [] share of the steps done after this one, up to 1.

        Returns:
            Splats, mean and square after the step.
        """
        per_view = VIEWS_A_STEP / views
        gradient, magnitude = gradient * per_view, magnitude * per_view
        first, second = MOMENTS
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient * gradient
        unbiased = (square / (1 - second**step)).sqrt() + FLOOR
        direction = mean / (1 - first**step) / unbiased
        quats = splats[:, QUAT]
        quats = quats / (quats * quats).sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        axes, turns = axes_of(quats), turns_of(quats)
        scales = splats[:, LOG_SCALE].exp()
        features = self.features(
            splats, start, gradient, magnitude, seen, direction, axes, turns, scales, views,
            progress,
        )  # fmt: skip
        hidden = self.read(features)
        cell = cells_of(start[:, MEAN])
        for tell, mix in zip(self.tell, self.mix, strict=True):
            hidden = mix(torch.cat([hidden, neighbourhood(tell(hidden), cell)], dim=1))
        proposed = self.propose(hidden)
        gates = proposed[:, :GATES].clamp(-4, 1.5).exp()
        change = -self.rate(progress) * self.rates * gates[:, self.group] * direction
        added = proposed[:, GATES:].tanh() * self.reach
        added = torch.cat(
            [
                apply(axes, scales * added[:, :3]),
                added[:, 3:7],
                apply(turns, added[:, 7:10]),
                added[:, 10:13],
            ],
            dim=1,
        )
        return splats + change + added, mean, square

    def rate(self, progress: Tensor) -> Tensor:
        """Return the factor of Adam's steps, which falls along a line."""
        return 2.0 - 1.8 * progress

    def features(
        self,
        splats: Tensor,
        start: Tensor,
        gradient: Tensor,
        magnitude: Tensor,
        seen: Tensor,
        direction: Tensor,
        axes: Tensor,
        turns: Tensor,
        scales: Tensor,
        views: Tensor,
        progress: Tensor,
    ) -> Tensor:
        """Return what the network reads, [N, 66], mostly in the splats' own axes."""
        change = splats - start
        agreed = gradient.abs() / (magnitude + 1e-6)
        colors = magnitude[:, COLOR]
        rows = torch.ones_like(seen)[:, None]
        parts = [
            torch.asinh(3 * scales * own(axes, gradient[:, MEAN])),
            torch.asinh(3 * own(turns, gradient[:, QUAT])),
            torch.asinh(3 * gradient[:, LOG_SCALE]),
            torch.asinh(3 * gradient[:, LOGIT]),
            torch.asinh(gradient[:, COLOR]),
            own(axes, direction[:, MEAN]),
            direction[:, LOGIT],
            direction[:, LOG_SCALE],
            own(turns, direction[:, QUAT]),
            direction[:, COLOR],
            agreed[:, MEAN],
            agreed[:, LOGIT],
            agreed[:, LOG_SCALE],
            agreed[:, COLOR],
            torch.asinh(colors),
            splats[:, LOG_SCALE] - USUAL_LOG_SCALE,
            splats[:, LOGIT] / 3,
            splats[:, COLOR] - 0.5,
            own(axes, change[:, MEAN]) / scales,
            3 * change[:, LOG_SCALE],
            change[:, LOGIT],
            5 * change[:, COLOR],
            2 * splats[:, MEAN],
            axes[:, 2],
            (seen / views)[:, None],
            torch.log(seen + 1)[:, None],
            progress * rows,
            torch.log(views) * rows - 1.8,
        ]
        return torch.cat(parts, dim=1).clamp(-MOST, MOST)


def axes_of(quats: Tensor) -> Tensor:
    """Return rotation matrices [N, 3, 3] of unit quaternions [N, 4], wxyz."""
    w, x, y, z = quats.unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def turns_of(quats: Tensor) -> Tensor:
    """Return how a unit quaternion changes with a small turn about its own axes: [N, 4, 3]."""
    w, x, y, z = (0.5 * part for part in quats.unbind(dim=1))
    rows = [[-x, -y, -z], [w, -z, y], [z, w, -x], [-y, x, w]]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def own(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Multiply the transposed [N, I, J] matrices with [N, I] vectors: [N, J]."""
    return (matrices * vectors[:, :, None]).sum(dim=1)


def apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Multiply [N, I, J] matrices with [N, J] vectors: [N, I]."""
    return (matrices * vectors[:, None, :]).sum(dim=2)


def cells_of(means: Tensor) -> Tensor:
    """Number the cells of the object cube that points [N, 3] lie in: [N] int64."""
    cell = ((means + 0.5) * CELLS).floor().clamp(0, CELLS - 1).to(torch.int64)
    return (cell[:, 0] * CELLS + cell[:, 1]) * CELLS + cell[:, 2]


def neighbourhood(told: Tensor, cell: Tensor) -> Tensor:
    """Give each splat the mean of what those of its cell tell, [N, C]."""
    index = cell[:, None]
    sums = told.new_zeros(CELLS**3, told.shape[1]).scatter_add(0, index.expand_as(told), told)
    counts = told.new_zeros(CELLS**3, 1).scatter_add(0, index, torch.ones_like(told[:, :1]))
    return (sums / counts.clamp_min(1))[cell]
