import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.engine.gaussians.thinning import importance, keep_largest, prune


def test_the_faint_are_left_out_in_their_order():
    splats = random_gaussians()
    kept = prune(splats, 0.5)
    np.testing.assert_array_equal(kept.means, splats.means[splats.opacities >= 0.5])
    assert 0 < len(kept) < len(splats) == len(prune(splats, 0))


def test_importance_is_opacity_times_the_mean_area_of_a_box():
    splats = random_gaussians()
    a, b, c = splats.scales.astype(np.float64).T
    expected = splats.opacities * (a * b + b * c + c * a)
    np.testing.assert_allclose(importance(splats), expected, rtol=1e-6)


def test_the_most_important_are_kept_in_their_order():
    splats = random_gaussians()
    kept = keep_largest(splats, 10)
    chosen = np.sort(np.argsort(-importance(splats), kind="stable")[:10])
    np.testing.assert_array_equal(kept.means, splats.means[chosen])
    assert keep_largest(splats, 50) is splats


def test_of_equals_the_first_are_kept():
    splats = random_gaussians().select(np.zeros(5, int))
    splats.colors[:, 0] = np.arange(5) / 10
    np.testing.assert_allclose(keep_largest(splats, 2).colors[:, 0], [0, 0.1])


@pytest.mark.parametrize(
    ("call", "value", "message"),
    [
        (prune, 1.5, r"the least opacity is 1.5; it must be in \[0, 1\]"),
        (prune, -0.1, r"the least opacity is -0.1; it must be in \[0, 1\]"),
        (keep_largest, 0, "the largest number of splats is 0; it must be 1 or more"),
    ],
)
def test_bad_limits(call, value, message):
    with pytest.raises(InputError, match=message):
        call(random_gaussians(), value)
