"""Cells of the object cube: sums, colours around, and convolutions over them."""

import numpy as np
import torch

from geolrm.export.model.cells import (
    CELLS,
    CellConvolutions,
    cells_of,
    colors_around,
    fine_of,
    told_to_cells,
)

COUNT = 300


def test_colours_around_are_means_of_what_views_show_there():
    """Four splats: two in a cell, one beside them in its coarser cell, one far away, unseen."""
    means = torch.tensor([[0.01, 0.02, 0.07, -0.4]] * 3)
    color = torch.tensor([[1.0, 0, 0, 0.5]] * 3)
    weight = torch.tensor([[3.0, 1, 4, 0]])
    near, around, everywhere, known = colors_around(color, weight, cells_of(means))
    mean = 3 / 8
    coarse = (3 + 0.3 * mean) / (8 + 0.3)
    torch.testing.assert_close(everywhere[:, 0], torch.full((3,), mean))
    torch.testing.assert_close(around[0], torch.tensor([coarse, coarse, coarse, mean]))
    cell, beside = (3 + 0.3 * coarse) / 4.3, (0 + 0.3 * coarse) / 4.3
    torch.testing.assert_close(near[0], torch.tensor([cell, cell, beside, mean]))
    assert known.tolist() == [[4, 4, 4, 0]]


def test_cells_are_told_sums():
    rng = np.random.default_rng(0)
    means = torch.from_numpy(rng.uniform(-0.6, 0.6, (3, COUNT)).astype(np.float32)) / 3
    told = torch.from_numpy(rng.normal(size=(COUNT, 5)).astype(np.float32))
    cell = cells_of(means)
    place = np.clip(np.floor((means.numpy() + 0.5) * CELLS), 0, CELLS - 1).astype(int)
    assert cell.tolist() == ([CELLS**2, CELLS, 1] @ place).tolist()
    sums = told_to_cells(told, cell)
    assert sums.shape == (CELLS**3, 5)
    for index in range(0, COUNT, 17):
        expected = told[cell == cell[index]].double().sum(dim=0)
        torch.testing.assert_close(sums[cell[index]].double(), expected, rtol=0, atol=1e-5)
    assert (sums.abs().sum(dim=1) > 0).sum() == len(set(cell.tolist()))
    outside = torch.tensor([[-9.0], [0], [9]])
    assert cells_of(outside).tolist() == [CELLS * CELLS // 2 + CELLS - 1]


def convolutions(width=6, channels=4):
    torch.manual_seed(0)
    made = CellConvolutions(width, channels).requires_grad_(False)
    torch.nn.init.normal_(made.tell.weight)
    return made


def read(network, means, hidden):
    cell = cells_of(means)
    return network(hidden, cell, told_to_cells(torch.ones_like(hidden[:, :1]), cell))


def test_convolutions_start_as_nothing():
    hidden, means = torch.randn(COUNT, 6), 0.2 * torch.randn(3, COUNT)
    assert torch.equal(read(CellConvolutions(6, 4), means, hidden), hidden)


def test_what_the_cells_around_hold_reaches_a_splat_and_what_is_far_does_not():
    """Three convolutions and two of twice the width: at most 3 + 2 * 2 + 1 cells away."""
    network, hidden = convolutions(), torch.randn(3, 6)
    means = torch.zeros(3, 3)
    means[0] = torch.tensor([-0.49, -0.49 + 2 / CELLS, -0.49 + 12 / CELLS])
    before = read(network, means, hidden)
    for changed, reaches in ((1, True), (2, False)):
        other = hidden.clone()
        other[changed] += 1
        assert (read(network, means, other)[0] != before[0]).any() == reaches


def test_convolutions_know_where_a_cell_lies_beside_another():
    """Moved by whole cells, a scene away from the border is told the same; mirrored, it is not."""
    network, hidden = convolutions(), torch.randn(COUNT, 6)
    means = 0.02 + 0.06 * torch.rand(3, COUNT)
    before = read(network, means, hidden)
    moved = read(network, means + torch.tensor([[2.0 / CELLS], [0], [0]]), hidden)
    torch.testing.assert_close(moved, before, rtol=0, atol=2e-4)
    assert (read(network, means.flip(0), hidden) - before).abs().max() > 1e-2


def test_each_cell_has_its_coarser_one():
    coarse = torch.arange((CELLS // 2) ** 3, dtype=torch.float32).reshape(*[CELLS // 2] * 3, 1)
    fine = fine_of(coarse).reshape(CELLS, CELLS, CELLS)
    x, y, z = 5, 8, 15
    assert fine[x, y, z] == coarse[x // 2, y // 2, z // 2, 0]
