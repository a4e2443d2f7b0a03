"""Cells of the object cube: what splats tell their neighbourhood, and what it tells them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELLS = 16  # of the object cube along an axis: a neighbourhood
COARSER = 2  # cells along an axis of a coarser one
CERTAIN = 0.3  # px of colour in a cell from which on it is believed rather than what is around it


class CellConvolutions(nn.Module):
    """Convolutions over the cells around each splat, at two scales, added to its features.

    Splats tell their cell the mean of their features and how many they are. What is added starts
    as 0, so that a network that is trained already can go on with it.
    """

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.gather = nn.Linear(width, channels)
        self.fine = nn.ModuleList([_convolution(channels + 1, channels), _convolution(channels)])
        self.coarse = nn.ModuleList([_convolution(channels), _convolution(channels)])
        self.join = _convolution(2 * channels, channels)
        self.tell = nn.Linear(channels + width, width)
        nn.init.zeros_(self.tell.weight)
        nn.init.zeros_(self.tell.bias)

    def forward(self, hidden: Tensor, cell: Tensor, counts: Tensor) -> Tensor:
        """Return features [N, width] of splats in cells [N], which hold ``counts`` [cells, 1]."""
        means = told_to_cells(self.gather(hidden), cell) / counts.clamp_min(1.0)
        told = torch.cat([means, torch.log(counts + 1.0)], dim=1)
        grid = told.T.reshape(1, -1, CELLS, CELLS, CELLS)
        for convolution in self.fine:
            grid = F.silu(convolution(grid))
        coarse = F.avg_pool3d(grid, COARSER)
        for convolution in self.coarse:
            coarse = F.silu(convolution(coarse))
        coarse = fine_of(coarse.permute(0, 2, 3, 4, 1)[0]).T.reshape(grid.shape)
        grid = F.silu(self.join(torch.cat([grid, coarse], dim=1)))
        around = grid.flatten(2)[0].T.index_select(0, cell)
        return hidden + self.tell(torch.cat([around, hidden], dim=1))


def _convolution(channels: int, made: int | None = None) -> nn.Conv3d:
    """Make a convolution over a cell and those that touch it."""
    return nn.Conv3d(channels, made or channels, 3, padding=1)


def cells_of(means: Tensor) -> Tensor:
    """Return the numbers of the cells of the object cube that points [3, N] lie in: [N] int64."""
    x, y, z = ((means + 0.5) * CELLS).floor().clamp(0.0, CELLS - 1.0).to(torch.int64)
    return (x * CELLS + y) * CELLS + z


def colors_around(
    color: Tensor, weight: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the colours that views show around each splat.

    Args:
        color: [3, N].
        weight: [1, N] px of what each shows.
        cell: [N].

    Returns:
        The mean colours of its cell [3, N], of its coarser cell [3, N], of all [3, 1], each of
        which stands in for a finer one that shows little, and the weight of its cell [1, N].
    """
    sums = told_to_cells(torch.cat([weight * color, weight]).T, cell)
    everywhere = sums.sum(dim=0)
    mean = everywhere[:3] / (everywhere[3] + 1e-6)
    side = CELLS // COARSER
    coarser = sums.reshape(side, COARSER, side, COARSER, side, COARSER, 4).sum(dim=(1, 3, 5))
    around = (coarser[..., :3] + CERTAIN * mean) / (coarser[..., 3:] + CERTAIN)
    spread = fine_of(around)
    near = (sums[:, :3] + CERTAIN * spread) / (sums[:, 3:] + CERTAIN)
    found = torch.cat([near, spread, sums[:, 3:]], dim=1).index_select(0, cell).T
    return found[:3], found[3:6], mean[:, None], found[6:]


def fine_of(coarse: Tensor) -> Tensor:
    """Return what each cell has of its coarser one: [s, s, s, C] to [cells, C]."""
    spread = coarse[:, None, :, None, :, None].expand(-1, COARSER, -1, COARSER, -1, COARSER, -1)
    return spread.reshape(CELLS**3, coarse.shape[-1])


def told_to_cells(values: Tensor, cell: Tensor) -> Tensor:
    """Sum [N, C] over the splats of each cell: [cells, C]."""
    sums = values.new_zeros(CELLS**3, values.shape[1])
    return sums.scatter_add(0, cell[:, None].expand_as(values), values)
