import numpy as np
import pytest
from samples.training import posed_object, tiny_recipe

from geolrm import InputError
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.posed_episodes import (
    choose_inputs,
    posed_episode,
    resized,
    sampled,
    surface,
    varied,
)
from geolrm.training.recipes import NO_AUGMENTATION


@pytest.fixture(scope="module")
def posed():
    return posed_object()


def test_inputs_and_targets_are_different_views(posed):
    rng = np.random.default_rng(0)
    episode = posed_episode(posed, "a", rng, tiny_recipe(augmentation=NO_AUGMENTATION))
    assert len(episode.images) in (2, 3) and episode.images.shape[1:] == (3, 56, 56)
    assert episode.foreground.shape[1:] == (4, 56, 56)
    assert episode.target_rgba.shape == (2, 24, 24, 4)
    assert episode.occupancy.shape == (8, 8, 8) and episode.occupancy.any()
    few = PosedObject(posed.rgba[:2], posed.depth[:2], posed.cameras[[0, 1]], posed.points)
    with pytest.raises(InputError, match="a has 2 views; 2 inputs and a target are needed"):
        posed_episode(few, "a", rng, tiny_recipe())


@pytest.mark.parametrize("scattered", [0.0, 1.0])
def test_inputs_are_chosen_once_each(posed, scattered):
    chosen = choose_inputs(posed.cameras, 6, scattered, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 6
    assert min(chosen) >= 0 and max(chosen) < len(posed)


def test_without_augmentation_nothing_varies(posed):
    same = varied(posed, np.random.default_rng(0), NO_AUGMENTATION)
    np.testing.assert_array_equal(same.rgba, posed.rgba)
    np.testing.assert_array_equal(same.cameras.c2w, posed.cameras.c2w)


def test_sizes_change_by_means_of_colours_and_by_samples_of_depth():
    rgba = np.zeros((1, 4, 4, 4), np.uint8)
    rgba[0, :2, :2] = (255, 0, 0, 255)
    np.testing.assert_allclose(resized(rgba, 2)[0, 0, 0], [1, 0, 0, 1])
    rgba[0, 0, 0, 3] = 0  # premultiplied: what is transparent has no colour to give
    np.testing.assert_allclose(resized(rgba, 2)[0, 0, 0], [0.75, 0, 0, 0.75])
    depth = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_array_equal(sampled(depth, 2)[0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(sampled(depth, 4), depth)


def test_the_surface_has_points_of_the_object_and_of_its_depth(posed):
    points = surface(posed, 8)
    np.testing.assert_array_equal(points[: len(posed.points)], posed.points)
    seen = points[len(posed.points) :]
    assert len(seen) and np.abs(seen).max() < 0.52
