import sys

import numpy as np
import pytest
from PIL import Image
from processes import assert_refused, call
from samples import random_gaussians

from geolrm import Gaussians, load_capture
from geolrm.commands import render as command
from geolrm.engine.errors import GeoLRMError
from geolrm.examples import CAPTURES


@pytest.fixture
def splats(tmp_path):
    random_gaussians().save(tmp_path / "a.ply")
    return tmp_path / "a.ply"


def test_frames_of_a_capture_equal_the_library(splats, tmp_path):
    done = call(
        "geolrm", "render", splats, "--cameras", CAPTURES / "banana", "--size", 64, "-o",
        tmp_path / "frames",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames = sorted((tmp_path / "frames").iterdir())
    assert [f.name for f in frames] == [f"{i:04d}.png" for i in range(38)]
    cameras = load_capture(CAPTURES / "banana").cameras
    expected = Gaussians.load(splats).render(cameras, (64, 64)).rgb
    with Image.open(frames[11]) as frame:
        pixels = np.asarray(frame).astype(float) / 255
    np.testing.assert_allclose(pixels, expected[11], atol=0.5 / 255 + 1e-6)
    assert pixels.min() < 0.8


def test_orbit_to_video(splats, tmp_path):
    av = pytest.importorskip("av")
    done = call("geolrm", "render", splats, "--orbit", 5, "--size", 64, "-o", tmp_path / "v.mp4")
    assert done.returncode == 0, done.stderr
    with av.open(tmp_path / "v.mp4") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    expected = Gaussians.load(splats).render(command.orbit_cameras(5), (64, 64)).rgb
    assert len(frames) == 5
    for frame, render in zip(frames, expected, strict=True):
        assert np.abs(frame / 255 - render).mean() < 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--orbit", "0"], "--orbit is 0; it must be 1 to 100000 frames"),
        (["--size", "9000"], "--size is 9000; it must be 1 to 8192 pixels"),
        (["--threads", "0"], "--threads is 0"),
        (["--cameras", CAPTURES / "lion", "--orbit", "3"], "were both given; choose one"),
        (["--cameras", "none"], "'none' is no capture"),
        (["-o", "a.webm"], "output 'a.webm' is no .mp4; name a folder or a .mp4 file"),
    ],
)
def test_bad_options(splats, tmp_path, options, message):
    done = call("geolrm", "render", splats, "-o", tmp_path / "frames", *options)
    assert_refused(done, message)
    assert not (tmp_path / "frames").exists()


def test_missing_splats(tmp_path):
    done = call("geolrm", "render", tmp_path / "none.ply", "-o", tmp_path / "frames")
    assert_refused(done, "none.ply': No such file or directory")


def test_video_without_pyav_names_the_extra(tmp_path, monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(GeoLRMError, match=r"needs PyAV, .* pip install 'geolrm\[video\]'"):
        command.write_video(tmp_path / "v.mp4", iter(()), 64, lambda: None)
    assert list(tmp_path.iterdir()) == []
