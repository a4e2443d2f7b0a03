"""Deformable sampling in plain torch, against samples that were computed by hand."""

import pytest
import torch

from geolrm.export.deformable_sampling import sample_and_weigh

LEVELS = ((2, 2), (1, 2))  # pixels 1 2 / 3 4, and 10 20
VALUE = torch.tensor([1.0, 2, 3, 4, 10, 20]).reshape(1, 6, 1, 1)  # [V, L, h, e]


def sample(reference, offsets, logits, value=VALUE):
    """For one query and one head: offsets [levels, P, 2], logits [levels * P]."""
    return sample_and_weigh(
        value,
        LEVELS,
        torch.tensor([[reference]]).expand(len(value), 1, 2),
        torch.tensor(offsets).reshape(1, 1, 2, -1, 2),
        torch.tensor(logits).reshape(1, 1, -1),
    )


FIRST, SECOND = [30.0, -30.0], [-30.0, 30.0]  # of the levels, alone


@pytest.mark.parametrize(
    ("reference", "offset", "expected"),
    [
        ([0.25, 0.25], [0, 0], 1.0),  # the centre of the first pixel
        ([0.5, 0.5], [0, 0], 2.5),  # between all four
        ([0.25, 0.25], [1, 0], 2.0),  # offsets count pixels of the level, x first
        ([0.25, 0.25], [0, 1], 3.0),
        ([0.25, 0.25], [0.25, 0.5], 0.5 * 1.25 + 0.5 * 3.25),
        ([0, 0.25], [0, 0], 0.5),  # half of it lies outside, where zeros are read
        ([0.25, 0.25], [-1, 0], 0.0),
    ],
)
def test_a_sample_is_bilinear(reference, offset, expected):
    reference = [float(x) for x in reference]
    out = sample(reference, [[*map(float, offset)], [0.0, 0.0]], FIRST)
    assert out.shape == (1, 1, 1)
    assert out.item() == pytest.approx(expected, abs=1e-6)


def test_levels_have_pixels_of_their_own():
    assert sample([0.25, 0.5], [[0.0, 0.0], [0.5, 0.0]], SECOND).item() == pytest.approx(15)


def test_samples_are_weighed_by_a_softmax_over_levels_and_points():
    # Places 1, 4 and 10, 20, with weights 1 : 2 : 3 : 4.
    offsets = [[0.0, 0.0], [1.0, 1.0], [0.0, 0.25], [1.0, 0.25]]
    logits = torch.log(torch.tensor([1.0, 2, 3, 4])).tolist()
    got = sample([0.25, 0.25], offsets, logits).item()
    assert got == pytest.approx((1 * 1 + 2 * 4 + 3 * 10 + 4 * 20) / 10, rel=1e-6)


def test_views_and_channels_of_heads_stay_apart():
    value = torch.cat([VALUE, 100 * VALUE]).expand(2, 6, 1, 3) * torch.tensor([1.0, 10, -1])
    out = sample([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], FIRST, value)
    expected = 2.5 * torch.tensor([[1.0, 10, -1], [100, 1000, -100]])
    torch.testing.assert_close(out[:, 0], expected)


def test_gradients_reach_what_is_learned():
    value = VALUE.clone().requires_grad_()
    sample([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], FIRST, value).backward()
    torch.testing.assert_close(value.grad.ravel(), torch.tensor([0.25, 0.25, 0.25, 0.25, 0, 0]))
