import numpy as np
import pytest

from geolrm.training.data import patterns


@pytest.mark.parametrize("draw", patterns.PATTERNS, ids=lambda draw: draw.__name__)
def test_each_pattern_is_an_image_that_a_seed_repeats(draw):
    images = [draw(np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*images)
    assert images[0].shape == (patterns.SIZE, patterns.SIZE, 3)
    assert images[0].min() > -0.01 and images[0].max() < 1.01


def test_patterns_are_bytes_and_differ():
    made = [patterns.pattern(np.random.default_rng(seed)) for seed in range(6)]
    assert all(image.dtype == np.uint8 for image in made)
    assert len({image.tobytes() for image in made}) == 6


def test_noise_repeats_across_its_borders():
    noise = patterns._noise(np.random.default_rng(0), first=0)
    inside = np.abs(np.diff(noise, axis=0)).max()
    assert np.abs(noise[0] - noise[-1]).max() <= 1.5 * inside
