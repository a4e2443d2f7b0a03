"""The update network: it starts as Adam, and speaks of splats in their own axes."""

import numpy as np
import pytest
import torch

from geolrm.export.model import SplatUpdateConfig
from geolrm.export.model.cells import cells_of, colors_around
from geolrm.export.model.splat_update import (
    COLOR,
    FEATURES,
    LOG_SCALE,
    LOGIT,
    MEAN,
    QUAT,
    SplatUpdate,
    axes_of,
)

COUNT = 300
# Of the descent, as docs say: of means, logits, logarithms of scales, quaternions, colours.
RATES = np.repeat([2e-3, 0.15, 0.05, 0.02, 0.02], [3, 1, 3, 4, 3])[:, None]
WEIGHT = torch.linspace(0, 5, COUNT)  # px that each splat shows: the first shows nothing
INVARIANT = slice(0, 13)  # of the features: gradients in the splats' own axes


def scene(seed=0):
    """Splats, where they started, and gradients of three steps: each [14, N] float32."""
    rng = np.random.default_rng(seed)
    splats = rng.normal(size=(COUNT, 14))
    splats[:, MEAN] *= 0.2
    splats[:, LOG_SCALE] = rng.uniform(-5, -3, (COUNT, 3))
    splats[:, COLOR] = rng.random((COUNT, 3))
    start = splats + 0.01 * rng.normal(size=splats.shape)
    gradients = rng.normal(size=(3, COUNT, 14)) * rng.uniform(0, 3, (3, COUNT, 1))
    return [
        torch.from_numpy(array.T.astype(np.float32).copy()) for array in (splats, start, *gradients)
    ]


def step(network, splats, start, gradient, mean=None, square=None, views=4.0, number=1, of=6):
    zeros = torch.zeros_like(splats)
    return network(
        splats, start, gradient, 1.5 * gradient.abs(), torch.full((COUNT,), views - 1), WEIGHT,
        zeros if mean is None else mean, zeros if square is None else square,
        torch.tensor(views), torch.tensor(float(number)), torch.tensor(number / of),
    )  # fmt: skip


def proposing(offsets):
    """A network that reads nothing, and always proposes the same."""
    network = SplatUpdate(SplatUpdateConfig(width=8, shared=4)).requires_grad_(False)
    network.propose.bias[5 : 5 + len(offsets)] = torch.tensor(offsets)
    return network


def test_it_starts_as_adam():
    splats, start, *gradients = scene()
    network = SplatUpdate(SplatUpdateConfig()).requires_grad_(False)
    values = splats.numpy().astype(np.float64)
    mean, square = np.zeros_like(values), np.zeros_like(values)
    moments = (None, None)
    for number, (gradient, views) in enumerate(zip(gradients, (4.0, 8.0, 1.0), strict=True), 1):
        splats, *moments = step(network, splats, start, gradient, *moments, views, number)
        scaled = gradient.numpy().astype(np.float64) * 2 / views
        mean = 0.8 * mean + 0.2 * scaled
        square = 0.95 * square + 0.05 * scaled**2
        unbiased = mean / (1 - 0.8**number), square / (1 - 0.95**number)
        share = 2 - 1.8 * number / 6
        values -= share * RATES * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-3)
        np.testing.assert_allclose(splats.numpy(), values, rtol=1e-5, atol=1e-5)
        for ours, theirs in zip(moments, (mean, square), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


def product(left, right):
    """The Hamilton product of quaternions wxyz."""
    (a, b, c, d), (e, f, g, h) = left.unbind(-1), right.unbind(-1)
    return torch.stack(
        [
            a * e - b * f - c * g - d * h, a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f, a * h + b * g - c * f + d * e,
        ],
        dim=-1,
    )  # fmt: skip


def turned(rows, turn):
    """Turn splats, or gradients to them, by a unit quaternion [4]; about the origin."""
    rows = rows.clone()
    rows[MEAN] = matrices(turn[:, None])[0] @ rows[MEAN]
    rows[QUAT] = product(turn.expand(COUNT, 4), rows[QUAT].T).T
    return rows


def matrices(quats):
    """Rotation matrices [N, 3, 3] of quaternions [4, N]."""
    return torch.stack([torch.cat(row).T for row in axes_of(quats)], dim=1)


TURN = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7, 0.4]), dim=0)


def test_gradients_are_read_in_the_splats_own_axes(monkeypatch):
    read = []
    network = SplatUpdate(SplatUpdateConfig(width=8, shared=4)).requires_grad_(False)
    propose = network.network
    monkeypatch.setattr(
        network, "network", lambda features, cell: read.append(features) or propose(features, cell)
    )
    splats, start, gradient, *_ = scene()
    step(network, splats, start, gradient)
    step(network, *(turned(rows, TURN) for rows in (splats, start, gradient)))
    assert read[0].shape == (FEATURES, COUNT)
    torch.testing.assert_close(read[1][INVARIANT], read[0][INVARIANT], rtol=0, atol=1e-4)
    assert read[0][INVARIANT].std(dim=1).min() > 0.01


def test_what_is_added_turns_with_the_scene():
    network = proposing(torch.linspace(-1, 1, 14)[:13].tolist())
    splats, start, gradient, *_ = scene()
    after, *_ = step(network, splats, start, 0 * gradient)
    turned_after, *_ = step(network, turned(splats, TURN), turned(start, TURN), 0 * gradient)
    torch.testing.assert_close(turned(after, TURN), turned_after, rtol=0, atol=1e-5)
    assert (after - splats).abs().amax(dim=1).min() > 1e-3


@pytest.mark.parametrize("axis", range(3))
def test_splats_are_moved_along_and_turned_about_their_own_axes(axis):
    offsets = torch.zeros(13)
    offsets[axis] = 100  # tanh: all that it may
    offsets[7 + axis] = 100
    splats, start, gradient, *_ = scene()
    after, *_ = step(proposing(offsets.tolist()), splats, start, 0 * gradient)
    quats = torch.nn.functional.normalize(splats[QUAT], dim=0)
    moved = 0.5 * splats[LOG_SCALE].exp()[axis] * matrices(quats)[:, :, axis].T
    torch.testing.assert_close((after - splats)[MEAN], moved, rtol=0, atol=1e-6)
    half_turn = torch.zeros(COUNT, 4)
    half_turn[:, 1 + axis] = 0.15
    change = product(quats.T, half_turn).T
    torch.testing.assert_close((after - splats)[QUAT], change, rtol=0, atol=1e-6)
    assert torch.equal(after[LOGIT], splats[LOGIT])


def test_the_way_back_leads_to_the_start():
    """Returns are shares of the way, in each group: here all of it, but for the colours."""
    returns = [10.0, 10, 10, 10, 0, 0, 0]  # and no pulls
    splats, start, gradient, *_ = scene()
    after, *_ = step(proposing([0.0] * 13 + returns), splats, start, 0 * gradient)
    torch.testing.assert_close(after[: COLOR.start], start[: COLOR.start], rtol=0, atol=1e-6)
    assert torch.equal(after[COLOR], splats[COLOR])
    beyond, *_ = step(proposing([0.0] * 13 + [-10.0] * 5 + [0, 0]), splats, start, 0 * gradient)
    torch.testing.assert_close(beyond, splats + 0.3 * (splats - start), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pull", [0, 1])
def test_colours_are_pulled_to_those_around(pull):
    pulls = [0.0, 0.0]
    pulls[pull] = 1.0
    splats, start, gradient, *_ = scene()
    after, *_ = step(proposing([0.0] * 18 + pulls), splats, start, 0 * gradient)
    shown = WEIGHT[None] * splats[LOGIT].sigmoid()
    around = colors_around(splats[COLOR], shown, cells_of(start[MEAN]))[pull]
    expected = splats[COLOR] + 0.3 * (around - splats[COLOR])
    torch.testing.assert_close(after[COLOR], expected, rtol=0, atol=1e-6)
    assert torch.equal(after[: COLOR.start], splats[: COLOR.start])
    assert (after[COLOR] - splats[COLOR]).abs().mean() > 0.01


def test_where_no_view_shows_anything_all_is_a_number():
    splats, start, gradient, *_ = scene()
    network = SplatUpdate(SplatUpdateConfig()).requires_grad_(False)
    torch.nn.init.normal_(network.propose.weight)
    zeros, scalars = torch.zeros_like(splats), map(torch.tensor, (4.0, 1.0, 0.5))
    nothing = torch.zeros(COUNT)
    made = network(
        splats, start, 0 * gradient, 0 * gradient, nothing, nothing, zeros, zeros, *scalars
    )
    assert all(torch.isfinite(part).all() for part in made)


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_of_its_weights_are_the_same_bits_every_time(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        network = SplatUpdate(SplatUpdateConfig())
        torch.nn.init.normal_(network.propose.weight, std=0.1)
        splats, start, gradient, *_ = (part.repeat(1, 60) for part in scene())
        found = []
        for _ in range(3):
            network.zero_grad()
            zeros, ones = torch.zeros_like(splats), torch.ones(splats.shape[1])
            scalars = map(torch.tensor, (4.0, 1.0, 0.5))
            sums = (gradient, gradient.abs(), ones, 2 * ones)
            made = network(splats, start, *sums, zeros, zeros, *scalars)
            made[0].square().sum().backward()
            found.append(torch.cat([weight.grad.flatten() for weight in network.parameters()]))
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    finally:
        torch.set_num_threads(before)
