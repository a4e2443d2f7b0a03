"""``geolrm check`` as a user runs it."""

import json

import numpy as np
import pytest
from harness.processes import assert_refused, call, call_here
from PIL import Image
from samples.capture_files import box_cameras, box_photos, write_poses, write_transforms

from geolrm import Cameras
from geolrm.examples import CAPTURES


def test_a_clean_capture(tmp_path):
    done = call("geolrm", "check", CAPTURES / "shoe", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "NeRF/nerfstudio transforms: 38 views, 256 x 256 px, with alpha",
        "no doubts; cameras, cube and images -> check.png",
    ]
    with Image.open(tmp_path / "check.png") as overview:
        assert overview.width == 1600 and overview.height > 900


@pytest.fixture
def opencv_capture(tmp_path):
    cameras = box_cameras()
    folder = write_transforms(tmp_path / "box", box_photos(cameras, 128), cameras)
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        matrix = np.array(frame["transform_matrix"])
        frame["transform_matrix"] = (matrix @ np.diag([1, -1, -1, 1])).tolist()
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def test_doubts_are_printed_and_strict_fails(opencv_capture, tmp_path):
    output = tmp_path / "a.png"
    done = call_here("geolrm", "check", opencv_capture, "-o", output)
    assert done.returncode == 0, done.stderr
    assert "doubt: axes: all 12 views look away from the object" in done.stdout
    assert "1 doubt; " in done.stdout
    assert call_here("geolrm", "check", opencv_capture, "-o", output, "--strict").returncode == 1
    done = call_here("geolrm", "check", opencv_capture, "-o", output, "--json", "--strict")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["kind"] == "transforms" and report["views"] == 12
    (doubt,) = report["doubts"]
    assert doubt["topic"] == "axes" and doubt["views"] == list(range(12))
    assert "OpenCV camera-to-world" in doubt["text"]


def test_images_of_very_many_views_are_reduced_until_they_fit(tmp_path, monkeypatch):
    cameras = box_cameras()
    folder = write_transforms(tmp_path / "box", box_photos(cameras, 400), cameras)
    # 12 views of 400 px with alpha; a quarter of their bytes is that of 200 px, which is too few.
    monkeypatch.setattr("geolrm.commands.check.MEMORY", 12 * 400 * 400 * 4 // 2)
    done = call_here("geolrm", "check", folder, "-o", tmp_path / "half.png")
    assert "12 views, 282 x 282 px, with alpha" in done.stdout, done.stdout
    assert "note: images reduced to 282 px: 12" in done.stdout
    monkeypatch.setattr("geolrm.commands.check.MEMORY", 12 * 400 * 400 * 4 // 4)
    done = call_here("geolrm", "check", folder, "-o", tmp_path / "least.png")
    assert "12 views, 256 x 256 px, with alpha" in done.stdout, done.stdout


def test_a_warm_view_is_named_with_what_would_correct_it(tmp_path):
    cameras = box_cameras(24)
    photos = box_photos(cameras, 128)
    photos[5] = np.rint(photos[5] * np.array([1, 0.9, 0.7, 1])).astype(np.uint8)
    folder = write_transforms(tmp_path / "box", photos, cameras)
    done = call_here("geolrm", "check", folder, "-o", tmp_path / "a.png", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (doubt,) = report["doubts"]
    assert doubt["topic"] == "white balance" and doubt["views"] == [5]
    colors = report["colors"]
    assert len(colors) == 24
    np.testing.assert_allclose(colors[5]["correction"], [1, 1 / 0.9, 1 / 0.7], atol=0.06)
    np.testing.assert_allclose(colors[15]["correction"], 1, atol=0.05)
    assert colors[5]["brightness_stops"] < -0.1


def test_an_object_elsewhere_is_fitted_and_shown_without_alpha_once(tmp_path):
    """What a doubt says is not repeated as a warning for each image."""
    cameras = box_cameras()
    moved = Cameras(cameras.c2w.copy(), cameras.intrinsics)
    moved.c2w[:, :3, 3] += [3, 0, 1]
    folder = write_transforms(tmp_path / "box", box_photos(cameras, 128), moved)
    output = tmp_path / "a.png"
    done = call_here("geolrm", "check", folder, "-o", output, "--fit", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: the object was centred from (3, " in done.stdout
    done = call_here("geolrm", "check", folder, "-o", output, "--json")
    (doubt,) = json.loads(done.stdout)["doubts"]
    assert doubt["topic"] == "scale" and "or give --fit, which does both" in doubt["text"]
    for file in (folder / "rgb").iterdir():
        striped = np.asarray(Image.open(file))[..., :3] // 2
        striped[::2] += 100  # a background of more than one colour
        Image.fromarray(striped).save(file)
    done = call_here("geolrm", "check", folder, "-o", output)
    assert done.returncode == 0 and "warning" not in done.stderr
    refused = call_here("geolrm", "check", folder, "-o", output, "--fit")
    assert_refused(refused, "its masks do not tell where the object is; give images with alpha")


def test_what_cannot_be_read_is_refused(tmp_path):
    cameras = box_cameras(4)
    folder = write_poses(tmp_path / "p", box_photos(cameras), cameras)
    np.save(folder / "intrinsics.npy", 64 * cameras.intrinsics)
    refused = call_here("geolrm", "check", folder, "-o", tmp_path / "a.png")
    assert_refused(refused, "which look like pixels; divide the first row by the image width")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.jpg"], "the overview is 'a.jpg'; its file name must end in .png"),
        (["-o", "file/a.png"], "cannot write 'file/a.png'"),
        (["--model", "none"], "no bundle at 'none'"),
    ],
)
def test_bad_options(tmp_path, options, message):
    (tmp_path / "file").write_text("")
    assert_refused(call_here("geolrm", "check", CAPTURES / "shoe", *options, cwd=tmp_path), message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
