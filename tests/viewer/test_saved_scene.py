import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.viewer import Exhibit, InputViews, load_scene, save_scene
from geolrm.viewer.page import make_page
from geolrm.viewer.saved_scene import FORMAT


@pytest.fixture
def saved(lion, tmp_path):
    save_scene(lion, tmp_path / "lion.safetensors")
    return tmp_path / "lion.safetensors"


def damage(path, change, **facts):
    """Change the arrays in place and the facts by name."""
    arrays = dict(load_file(path))
    change(arrays)
    header = {"title": "a", "timings": {}, "names": ["v"] * 6} | facts
    save_file(arrays, path, {"format": FORMAT, "facts": json.dumps(header)})


def test_what_is_read_equals_what_was_written(saved, lion):
    read = load_scene(saved)
    assert make_page(read) == make_page(lion)
    for name in ("means", "opacities", "scales", "quats", "colors"):
        np.testing.assert_array_equal(getattr(read.gaussians, name), getattr(lion.gaussians, name))
    assert read.timings == lion.timings


def test_splats_with_harmonics_and_nothing_else(tmp_path):
    exhibit = Exhibit("random", random_gaussians(sh=9))
    save_scene(exhibit, tmp_path / "a.safetensors")
    read = load_scene(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read.gaussians.sh, exhibit.gaussians.sh)
    assert read.views is None and read.anchors is None and read.timings == {}


def cut_image(arrays):
    arrays["picture.3"] = arrays["picture.3"][..., :2].copy()


def cut_anchors(arrays):
    arrays["anchors"] = arrays["anchors"][:, :2].copy()


def infinite_means(arrays):
    arrays["means"][7, 1] = np.inf


def double_means(arrays):
    arrays["means"] = arrays["means"].astype(np.float64)


def fewer_scales(arrays):
    arrays["scales"] = arrays["scales"][:-1].copy()


def mirrored_cameras(arrays):
    arrays["c2w"][:, :3, 0] *= -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("quats"), "lacks 'quats'; it is damaged, write it again"),
        (lambda arrays: arrays.pop("colors"), "need either colors .* or sh"),
        (lambda arrays: arrays.pop("picture.5"), "lacks 'picture.5'"),
        (cut_image, r"has picture\.3 of shape \(\d+, \d+, 2\)"),
        (cut_anchors, r"has anchors of shape \(500, 2\)"),
        (infinite_means, "has NaN or infinity in means"),
        (double_means, "has means of type float64, which must be float32"),
        (fewer_scales, r"scales has shape \(7999, 3\); with 8000 means"),
        (mirrored_cameras, "pose 0 is mirrored"),
    ],
)
def test_damaged_arrays_are_refused(saved, change, message):
    damage(saved, change)
    with pytest.raises(InputError, match=message):
        load_scene(saved)


@pytest.mark.parametrize(
    "facts",
    [{"title": 3}, {"names": 5}, {"names": [1] * 6}, {"timings": {"a": "b"}}, {"timings": []},
     {"names": ["v"] * 5000}, {"timings": {"a": float("nan")}}],
)  # fmt: skip
def test_damaged_facts_are_refused(saved, facts):
    damage(saved, lambda arrays: None, **facts)
    with pytest.raises(InputError, match="has facts that cannot be read"):
        load_scene(saved)


def test_other_files_are_refused(saved, tmp_path):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(InputError, match="is no scene file: "):
        load_scene(saved)
    saved.write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="is no scene file: "):
        load_scene(saved)
    save_file({"a": np.zeros(1)}, saved)
    with pytest.raises(InputError, match=f"is a safetensors file, but no {FORMAT}; write one with"):
        load_scene(saved)
    with pytest.raises(InputError, match="there is no scene file at"):
        load_scene(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"its name must end in \.safetensors"):
        save_scene(Exhibit("a", random_gaussians()), tmp_path / "a.npz")


def test_views_need_a_name_each(lion):
    with pytest.raises(InputError, match="there are 1 names, 6 cameras and 6 images"):
        InputViews(["a"], lion.views.cameras, lion.views.images)
