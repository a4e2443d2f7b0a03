"""Each condition of a capture does what it says, alone, and leaves the truth alone."""

from dataclasses import fields

import numpy as np
import pytest

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.training.data.conditions import (
    MASK_PIXELS,
    ConditionConfig,
    cut_frames,
    exposed,
    happens,
    photographed,
    take,
)
from geolrm.training.data.meshes import render_mesh
from geolrm.training.data.shapes import procedural_mesh

SIZE, VIEWS = 64, 5
INPUTS = Cameras.around(VIEWS, 1.8, 50.0)
TARGETS = Cameras.around(2, 1.9, 50.0)
EVERYTHING = ConditionConfig(
    **{f.name: 1.0 for f in fields(ConditionConfig) if not f.name.startswith("pose_")}
)


def rng(seed=0):
    return np.random.default_rng(seed)


def rendered(cameras):
    rgb, alpha, depth = render_mesh(procedural_mesh(rng(1)), cameras, SIZE, 2)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], -1), depth


@pytest.fixture(scope="module")
def views():
    return rendered(INPUTS)


@pytest.fixture(scope="module")
def targets():
    return rendered(TARGETS)


def taken(views, targets, seed=0, **config):
    return take(*views, INPUTS, *targets, TARGETS, rng(seed), ConditionConfig(**config))


def assert_premultiplied(rgba):
    assert rgba.dtype == np.float32 and rgba.min() >= 0 and rgba.max() <= 1
    assert (rgba[..., :3] <= rgba[..., 3:] + 1e-6).all()


def test_nothing_asked_changes_nothing_and_draws_nothing(views, targets):
    generator = rng()
    result = take(*views, INPUTS, *targets, TARGETS, generator, ConditionConfig())
    np.testing.assert_array_equal(result.rgba, views[0])
    np.testing.assert_array_equal(result.target_rgba, targets[0])
    assert result.cameras is INPUTS and result.valid is None
    assert generator.random() == rng().random()
    assert not happens(rng(), 0) and happens(rng(), 1)


def test_everything_at_once_is_still_a_capture_and_is_the_same_each_time(views, targets):
    results = [take(*views, INPUTS, *targets, TARGETS, rng(7), EVERYTHING) for _ in range(2)]
    for result in results:
        assert_premultiplied(result.rgba)
        assert_premultiplied(result.target_rgba)
        assert result.valid is not None and (result.rgba[result.valid == 0] == 0).all()
    assert results[0].rgba.tobytes() == results[1].rgba.tobytes()
    assert results[0].cameras.c2w.tobytes() == results[1].cameras.c2w.tobytes()


def test_a_lamp_falls_on_inputs_and_targets_and_keeps_their_brightness(views, targets):
    result = taken(views, targets, lamp=1)
    assert_premultiplied(result.rgba)
    np.testing.assert_array_equal(result.rgba[..., 3], views[0][..., 3])
    for lit, plain in ((result.rgba, views[0]), (result.target_rgba, targets[0])):
        assert np.abs(lit - plain).max() > 0.1
        assert lit[..., :3].sum() == pytest.approx(plain[..., :3].sum(), rel=0.25)


def test_a_flash_falls_on_inputs_alone(views, targets):
    result = taken(views, targets, flash=1)
    assert_premultiplied(result.rgba)
    assert np.abs(result.rgba - views[0]).max() > 0.1
    np.testing.assert_array_equal(result.target_rgba, targets[0])


def test_exposure_is_a_gain_of_each_view_and_channel(views):
    dark = views[0] * np.float32([0.2, 0.2, 0.2, 1])  # nothing gets brighter than white
    result = exposed(dark, rng())
    gains = result[..., :3].sum((1, 2)) / dark[..., :3].sum((1, 2))
    np.testing.assert_allclose(np.exp(np.log(gains).mean(0)), 1, rtol=1e-4)
    assert np.log(gains).std(0).min() > 0.08
    lit = dark[..., 0] > 0.02
    ratios = result[..., 0][lit] / dark[..., 0][lit]
    views_of = np.nonzero(lit)[0]
    for view in range(VIEWS):
        np.testing.assert_allclose(ratios[views_of == view], gains[view, 0], rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "least"), [("blur", 0.01), ("noise", 0.002), ("compression", 0.002)]
)
def test_damage_is_small_and_keeps_what_is_empty(views, kind, least):
    result = photographed(views[0], rng(2), ConditionConfig(**{kind: 1}))
    assert_premultiplied(result)
    error = np.abs(result - views[0])
    assert least < np.sqrt((error**2).mean()) < 0.08
    empty = result[views[0][..., 3] == 0]
    assert empty.mean() < 0.02


def test_masks_are_too_large_or_too_small(views):
    areas = []
    for seed in range(12):
        result = photographed(views[0], rng(seed), ConditionConfig(masks=1))
        assert_premultiplied(result)
        areas.append(result[..., 3].mean() / views[0][..., 3].mean())
    assert min(areas) < 0.97 and max(areas) > 1.03
    assert 1 - 8 * max(MASK_PIXELS) / SIZE * 3 < min(areas) and max(areas) < 2


def test_a_mask_that_is_too_large_takes_background(views):
    found = []
    for seed in range(12):
        result = photographed(views[0], rng(seed), ConditionConfig(masks=1))
        outside = result[(views[0][..., 3] == 0) & (result[..., 3] > 0.99)]
        if len(outside):
            found.append(np.ptp(outside[:, :3], axis=0).max())
    assert found and max(found) < 0.02  # one colour in all views


def test_cut_frames_lack_bands_along_their_sides():
    valid = cut_frames(400, SIZE, rng())
    assert set(np.unique(valid)) == {0, 1}
    whole = (valid == 1).all((1, 2))
    assert 0.4 < whole.mean() < 0.6
    for plane in valid[~whole]:
        shown = np.argwhere(plane)
        low, high = shown.min(0), shown.max(0) + 1
        assert plane[low[0] : high[0], low[1] : high[1]].all()  # a rectangle
    assert valid[~whole].mean() > 0.4


def test_a_cut_shows_nothing_where_nothing_is_known(views, targets):
    result = taken(views, targets, seed=3, cut=1)
    assert result.valid.shape == (VIEWS, SIZE, SIZE) and 0 < result.valid.mean() < 1
    np.testing.assert_array_equal(result.rgba, views[0] * result.valid[..., None])


def test_wrong_poses_are_told_and_the_images_are_those_of_the_true_ones(views, targets):
    result = taken(views, targets, poses=1, pose_degrees=2.0, pose_shift=0.05)
    np.testing.assert_array_equal(result.rgba, views[0])
    moved = np.linalg.norm((result.cameras.c2w - INPUTS.c2w)[:, :3, 3], axis=1)
    assert (moved > 0).all() and moved.max() < 0.2


def test_values_that_no_capture_has():
    with pytest.raises(InputError, match=r"lamp is 1.5; it must be a number from 0 to 1"):
        ConditionConfig(lamp=1.5)
    with pytest.raises(InputError, match="pose_degrees is -1; it must be a number of degrees from"):
        ConditionConfig(pose_degrees=-1)
