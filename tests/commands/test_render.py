import sys
from pathlib import Path

import numpy as np
import pytest
from harness.processes import assert_refused, call, call_here
from PIL import Image
from samples.capture_files import write_transforms
from samples.gaussians import random_gaussians

from geolrm import Cameras, Gaussians, load_capture
from geolrm.commands import render as command
from geolrm.engine.captures import load_every_view
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.gaussians.extent import find_extent
from geolrm.engine.geometry.similarity import make_similarity
from geolrm.engine.views.sheets import to_bytes
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
    done = call_here(
        "geolrm", "render", splats, "--orbit", 5, "--size", 64, "-o", tmp_path / "v.mp4"
    )
    assert done.returncode == 0, done.stderr
    with av.open(tmp_path / "v.mp4") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    expected = (
        Gaussians.load(splats).render(command.orbit_cameras(5, random_gaussians())[0], (64, 64)).rgb
    )
    assert len(frames) == 5
    for frame, render in zip(frames, expected, strict=True):
        assert np.abs(frame / 255 - render).mean() < 0.03


SHIFT = np.array([5.0, 2, 3])


def frames_of(scene, folder, *options):
    """The frames of two positions around splats, [2, 64, 64, 3], and what was printed."""
    scene.save(folder / "a.ply")
    done = call_here("geolrm", "render", folder / "a.ply", "--size", 64, "-o", folder, *options)
    assert done.returncode == 0, done.stderr
    return np.stack([np.asarray(Image.open(folder / f"000{i}.png")) for i in range(2)]), done


def test_an_orbit_of_splats_in_the_cube_is_that_of_the_cube(tmp_path):
    """Whatever their size and place in it: the cameras of the cube, to the bit."""
    scene = random_gaussians().transformed(make_similarity(0.5, np.eye(3), np.array([0.2, 0, 0])))
    cameras, near = command.orbit_cameras(2, scene)
    expected = Cameras.orbit([0, 180], 20.0, 1.5, 39.6)
    np.testing.assert_array_equal(cameras.c2w, expected.c2w)
    np.testing.assert_array_equal(cameras.intrinsics, expected.intrinsics)
    assert near == 0.01
    frames, _ = frames_of(scene, tmp_path, "--orbit", 2)
    np.testing.assert_array_equal(frames, to_bytes(scene.render(expected, (64, 64)).rgb))


@pytest.mark.parametrize("scale", [0.02, 3.0, 1e4])
def test_an_orbit_finds_splats_that_lie_elsewhere(tmp_path, scale):
    """The frames are those of the same splats around the origin, whatever their size."""
    scene = random_gaussians()
    moved = scene.transformed(make_similarity(scale, np.eye(3), max(scale, 1) * SHIFT))
    frames, done = frames_of(moved, tmp_path, "--orbit", 2)
    assert "warning" not in done.stderr
    extent = find_extent(scene)
    around = Cameras.orbit([0, 180], 20.0, extent.distance(39.6), 39.6)
    around.c2w[:, :3, 3] += extent.middle
    expected = to_bytes(scene.render(around, (64, 64)).rgb)
    assert np.abs(frames.astype(int) - expected).mean() < 0.5
    assert frames.min() < 200 and (frames[:, [0, -1]] == 255).all()  # whole, and not cut


def test_cameras_that_see_nothing_are_told(tmp_path):
    scene = random_gaussians().transformed(make_similarity(1.0, np.eye(3), np.array([0, 0, 50.0])))
    photos = [np.zeros((8, 8, 4), np.uint8)] * 2
    folder = write_transforms(tmp_path / "c", photos, Cameras.orbit([0, 90], 10, 1.5, 40.0))
    frames, done = frames_of(scene, tmp_path, "--cameras", folder)
    assert (frames == 255).all()
    assert "warning: no frame shows a splat: they lie within 0." in done.stderr
    assert ", 50), and the first camera is at (" in done.stderr
    assert "are they of one frame? geolrm run --world keeps a capture's, and --orbit" in done.stderr


def test_splats_that_are_all_but_transparent_are_told(tmp_path):
    scene = random_gaussians()
    scene.opacities[:] = 1e-3
    frames, done = frames_of(scene, tmp_path, "--orbit", 2)
    assert (frames == 255).all()
    assert "warning: no frame shows a splat: their largest opacity is 0.001\n" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--orbit", "0"], "--orbit is 0; it must be 1 to 100000 frames"),
        (["--size", "9000"], "--size is 9000; it must be 1 to 8192 pixels"),
        (["--threads", "0"], "--threads is 0"),
        (["--cameras", CAPTURES / "lion", "--orbit", "3"], "were both given; choose one"),
        (["--cameras", "none"], "'none' is no capture"),
        (["-o", "a.webm"], "output is 'a.webm'; name a folder for PNG frames or a .mp4 file"),
    ],
)
def test_bad_options(splats, tmp_path, options, message):
    done = call_here("geolrm", "render", splats, "-o", tmp_path / "frames", *options)
    assert_refused(done, message)
    assert not (tmp_path / "frames").exists()


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("v.mp4", ["--size", "15"], "--size is 15; video frames need an even number of pixels"),
        ("file", [], "'file' is a file; name a folder or a .mp4 file"),
        ("file/frames", [], "cannot write 'file/frames/0000.png': 'file' is not a folder"),
        ("v.gif", [], "output is 'v.gif'; name a folder for PNG frames or a .mp4 file"),
        ("folder.mp4", [], "output 'folder.mp4' is a folder; name a .mp4 file in it"),
    ],
)
def test_outputs_are_checked_before_anything_is_read(tmp_path, monkeypatch, output, options,
                                                     message):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder.mp4").mkdir()
    assert_refused(call_here("geolrm", "render", "none.ply", "-o", output, *options), message)
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder.mp4"]


def test_frames_have_the_shapes_of_the_capture(splats, tmp_path):
    """A wide and a tall image; each frame shows what its camera saw, undistorted."""
    photos = [np.zeros((40, 80, 4), np.uint8), np.zeros((60, 30, 4), np.uint8)]
    cameras = Cameras.orbit([0, 90], 10, 1.5, 40.0)
    folder = write_transforms(tmp_path / "c", photos, cameras)
    options = ("render", splats, "--cameras", folder, "--size", 64)
    done = call_here("geolrm", *options, "-o", tmp_path / "frames")
    assert done.returncode == 0, done.stderr
    sizes = [Image.open(path).size for path in sorted((tmp_path / "frames").iterdir())]
    assert sizes == [(64, 32), (32, 64)]
    wide = load_every_view(folder).cameras[[0]]
    expected = Gaussians.load(splats).render(wide, (64, 32)).rgb[0]
    pixels = np.asarray(Image.open(tmp_path / "frames" / "0000.png")) / 255
    np.testing.assert_allclose(pixels, expected, atol=0.5 / 255 + 1e-6)
    refused = call_here("geolrm", *options, "-o", tmp_path / "v.mp4")
    assert_refused(refused, "has images of different shapes, and a video has one")


def test_frames_of_an_earlier_run_are_told(splats, tmp_path):
    options = ("render", splats, "--size", 16, "-o", tmp_path)
    done = call_here("geolrm", *options, "--orbit", 3)
    assert done.returncode == 0 and "3 frames of 50 Gaussians" in done.stdout
    assert "warning" not in done.stderr
    done = call_here("geolrm", *options, "--orbit", 1)
    assert "1 frame of 50 Gaussians" in done.stdout
    assert "also holds 2 frames of an earlier run, such as 0002.png" in done.stderr


def test_no_gaussians_are_white_frames_and_a_warning(tmp_path):
    random_gaussians().select(np.zeros(0, int)).save(tmp_path / "none.ply")
    done = call_here("geolrm", "render", tmp_path / "none.ply", "-o", tmp_path / "frames",
                     "--orbit", 1, "--size", 8)  # fmt: skip
    assert done.returncode == 0
    assert "none.ply' holds no Gaussians, and so the frames are white" in done.stderr
    assert np.asarray(Image.open(tmp_path / "frames" / "0000.png")).min() == 255


def test_missing_splats(tmp_path):
    done = call_here("geolrm", "render", tmp_path / "none.ply", "-o", tmp_path / "frames")
    assert_refused(done, "none.ply': No such file or directory")


def test_video_without_pyav_names_the_extra(tmp_path, monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(GeoLRMError, match=r"needs PyAV, .* pip install 'geolrm\[video\]'"):
        command.write_video(tmp_path / "v.mp4", iter(()), (64, 64), lambda: None)
    assert list(tmp_path.iterdir()) == []
