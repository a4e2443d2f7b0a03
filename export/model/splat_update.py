"""Learned refinement: a network that proposes how to change splats, from their gradients.

Adam on a few input images fits these images; it knows nothing of how objects look from elsewhere.
The update network reads, of each Gaussian, what it is, how it has changed, the gradient of the
rendering loss over the input views and how far the views agree on it, how much of it the views show
and what colours they show around it, and what its neighbourhood reads. It was trained so that views
that are *not* among the inputs come out better.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.export.model.cells import CellConvolutions, cells_of, colors_around, told_to_cells
from geolrm.export.model.config import SplatUpdateConfig

Matrix = list[list[Tensor]]  # of [1, N]

# Rows: what is optimised.
MEAN, LOGIT, LOG_SCALE = slice(0, 3), slice(3, 4), slice(4, 7)
QUAT, COLOR = slice(7, 11), slice(11, 14)
ROWS = 14
# What weights were trained with: they stay, also where the descent takes other rates one day.
ADAM_RATES = 3 * [2e-3] + [0.15] + 3 * [0.05] + 4 * [0.02] + 3 * [0.02]  # as the descent's
GROUP_OF_ROW = 3 * [0] + [1] + 3 * [2] + 4 * [3] + 3 * [4]
MOMENTS = (0.8, 0.95)
FLOOR = 1e-3  # added to Adam's denominator
VIEWS_A_STEP = 2.0  # of the descent: gradients are brought to as many
USUAL_LOG_SCALE = -4.6
FEATURES = 78
ROUNDS = 2  # of what splats tell their cell
MOST = 6.0  # of a feature, either way
# Outputs: factors of Adam's steps, what is added to them, ways back to the start, and pulls of the
# colour to those of its cell and of its coarser cell.
GATES, OFFSETS, RETURNS, PULLS = 5, 13, 5, 2
# Of what is added, at most: own deviations, logits, logarithms, half turns, colours.
REACH = 3 * [0.5] + [1.0] + 3 * [0.2] + 3 * [0.3] + 3 * [0.1]


class SplatUpdate(nn.Module):
    """One step for N splats of a scene; the same weights serve each step and each splat.

    All arrays have their splats last, so that each number of a splat is a row of its own.
    """

    rates: Tensor  # [14, 1]
    reach: Tensor  # [13, 1]
    group: Tensor  # [14], the gate of each row

    def __init__(self, config: SplatUpdateConfig):
        super().__init__()
        width, shared = config.width, config.shared
        self.read = nn.ModuleList([nn.Linear(FEATURES, width), nn.Linear(width, width)])
        self.tell = nn.ModuleList([nn.Linear(width, shared) for _ in range(ROUNDS)])
        self.mix = nn.ModuleList([nn.Linear(width + shared, width) for _ in range(ROUNDS)])
        self.cell_convolutions = (
            CellConvolutions(width, config.cell_channels) if config.cell_channels else None
        )
        self.propose = nn.Linear(width, GATES + OFFSETS + RETURNS + PULLS)
        nn.init.zeros_(self.propose.weight)  # so that it starts as Adam
        nn.init.zeros_(self.propose.bias)
        for name, values in (("rates", ADAM_RATES), ("reach", REACH)):
            self.register_buffer(name, torch.tensor(values)[:, None], persistent=False)
        self.register_buffer("group", torch.tensor(GROUP_OF_ROW), persistent=False)

    def forward(
        self,
        splats: Tensor,
        start: Tensor,
        gradient: Tensor,
        magnitude: Tensor,
        seen: Tensor,
        weight: Tensor,
        mean: Tensor,
        square: Tensor,
        views: Tensor,
        step: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step.

        Args:
            splats: [14, N] as they are: means, logits of opacities, logarithms of scales,
                quaternions (wxyz, of any length), colours.
            start: [14, N] as they were before all these steps, or before the descent.
            gradient: [14, N], the loss's, summed over the views compared.
            magnitude: [14, N], its absolute values, summed over the views.
            seen: [N] number of views in which the splat has a gradient.
            weight: [N] px of all input views that the splat makes up, before the first of these
                steps: what no view shows has none.
            mean: [14, N], Adam's moving average of gradients, 0 at first.
            square: [14, N], that of their squares, 0 at first.
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
        quats = splats[QUAT]
        quats = quats / (quats * quats).sum(dim=0, keepdim=True).sqrt().clamp_min(1e-12)
        axes, turns = axes_of(quats), turns_of(quats)
        scales = splats[LOG_SCALE].exp()
        change = splats - start
        agreed = gradient.abs() / (magnitude + 1e-6)
        seen, weight, ones = seen[None], weight[None], torch.ones_like(seen)[None]
        cell, color = cells_of(start[MEAN]), splats[COLOR]
        near, around, everywhere, known = colors_around(
            color, weight * splats[LOGIT].sigmoid(), cell
        )
        features = [
            compressed(3.0 * scales * own(axes, gradient[MEAN])),
            compressed(3.0 * own(turns, gradient[QUAT])),
            compressed(3.0 * gradient[LOG_SCALE]),
            compressed(3.0 * gradient[LOGIT]),
            compressed(gradient[COLOR]),
            own(axes, direction[MEAN]),
            direction[LOGIT],
            direction[LOG_SCALE],
            own(turns, direction[QUAT]),
            direction[COLOR],
            agreed[MEAN],
            agreed[LOGIT],
            agreed[LOG_SCALE],
            agreed[COLOR],
            compressed(magnitude[COLOR]),
            splats[LOG_SCALE] - USUAL_LOG_SCALE,
            splats[LOGIT] / 3.0,
            splats[COLOR] - 0.5,
            own(axes, change[MEAN]) / scales,
            3.0 * change[LOG_SCALE],
            change[LOGIT],
            5.0 * change[COLOR],
            2.0 * splats[MEAN],
            torch.cat(axes[2]),
            seen / views,
            torch.log(seen + 1.0),
            progress * ones,
            torch.log(views) * ones - 1.8,
            torch.log(weight + 0.01) / 2.0,
            weight / (weight + 1.0),
            2.0 * (near - color),
            2.0 * (around - color),
            torch.log(known + 0.01) / 2.0,
            2.0 * (everywhere - color),
        ]
        proposed = self.network(torch.cat(features).clamp(-MOST, MOST), cell)
        gates = proposed[:GATES].clamp(-4.0, 1.5).exp().index_select(0, self.group)
        rate = 2.0 - 1.8 * progress
        offsets, returns, pulls = proposed[GATES:].split([OFFSETS, RETURNS, PULLS])
        added = offsets.tanh() * self.reach
        back = (0.3 * returns).clamp(-0.3, 1.0).index_select(0, self.group)
        pulls = (0.3 * pulls).clamp(-0.2, 0.8)
        added = torch.cat(
            [
                applied(axes, scales * added[:3]),
                added[3:7],
                applied(turns, added[7:10]),
                added[10:] + pulls[:1] * (near - color) + pulls[1:] * (around - color),
            ]
        )
        moved = splats + back * (start - splats) - rate * self.rates * gates * direction + added
        return moved, mean, square

    def network(self, features: Tensor, cell: Tensor) -> Tensor:
        """Propose, of features [78, N] and cells [N], all that a step does: [25, N]."""
        hidden = features.T
        for linear in self.read:
            hidden = F.silu(linear(hidden))
        counts = told_to_cells(torch.ones_like(hidden[:, :1]), cell)
        if self.cell_convolutions is not None:
            hidden = self.cell_convolutions(hidden, cell, counts)
        counts = counts.clamp_min(1.0)
        for tell, mix in zip(self.tell, self.mix, strict=True):
            means = told_to_cells(tell(hidden), cell) / counts
            hidden = F.silu(mix(torch.cat([hidden, means.index_select(0, cell)], dim=1)))
        return self.propose(hidden).T


def compressed(values: Tensor) -> Tensor:
    """Return the logarithm of large values, either way, and small ones as they are."""
    return values.sign() * torch.log(1.0 + values.abs())


def axes_of(quats: Tensor) -> Matrix:
    """Return rotation matrices of unit quaternions [4, N], wxyz: three rows of three [1, N]."""
    w, x, y, z = quats.split(1)
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]


def turns_of(quats: Tensor) -> Matrix:
    """Return how unit quaternions change with small turns about their own axes: 4 rows of 3."""
    w, x, y, z = (0.5 * quats).split(1)
    return [[-x, -y, -z], [w, -z, y], [z, w, -x], [-y, x, w]]


def own(matrix: Matrix, vectors: Tensor) -> Tensor:
    """Multiply the transposed matrices of I rows with vectors [I, N]."""
    parts = vectors.split(1)
    sums = [
        sum((row[j] * part for row, part in zip(matrix, parts, strict=True)), start=0 * parts[0])
        for j in range(len(matrix[0]))
    ]
    return torch.cat(sums)


def applied(matrix: Matrix, vectors: Tensor) -> Tensor:
    """Multiply matrices of I rows with vectors: [I, N]."""
    parts = vectors.split(1)
    sums = [
        sum((entry * part for entry, part in zip(row, parts, strict=True)), start=0 * parts[0])
        for row in matrix
    ]
    return torch.cat(sums)
