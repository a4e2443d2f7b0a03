"""SV3D frames and clips, Zero123++ sheets."""

import importlib.metadata

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import box_photos, on_white, write_clip, write_images
from samples.known_shapes import box_splats

from geolrm import Cameras, GeoLRMError, InputError, load_capture
from geolrm.engine.captures import video

SIZE = 96


@pytest.fixture(scope="module")
def orbit():
    return on_white(box_photos(Cameras.from_orbit("sv3d"), SIZE))


def assert_the_box(capture):
    """Each image is what its camera sees of the box."""
    size = capture.images[0].shape[1::-1]
    drawn = box_splats().render(capture.cameras, size).rgb
    pictures = np.stack(capture.images) / 255
    assert np.abs(drawn - pictures).mean() < 0.03
    assert np.abs(drawn - np.roll(pictures, 1, axis=0)).mean() > 0.06


def test_frames_meet_their_cameras(tmp_path, orbit):
    write_images(tmp_path / "frames", orbit)
    capture = load_capture(tmp_path / "frames")
    np.testing.assert_array_equal(capture.images[10], orbit[10])
    assert capture.names[9:11] == ["9.png", "10.png"]  # not in the order of the letters
    np.testing.assert_allclose(capture.cameras.c2w, Cameras.from_orbit("sv3d").c2w)
    assert_the_box(capture)
    assert "elevation 10, radius 1.5, field of view 39.6 degrees" in capture.notes[0]


def test_a_clip_yields_the_same_capture(tmp_path, orbit):
    pytest.importorskip("av")
    capture = load_capture(write_clip(tmp_path / "orbit.mp4", orbit))
    assert len(capture) == 21 and capture.names[3] == "frame 3"
    error = np.abs(np.stack(capture.images).astype(float) - orbit)
    assert error.mean() < 5
    assert_the_box(capture)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (20, "has 20 frames; an SV3D orbit has 21: cut it to those, or give the poses"),
        (22, "has more than 21 frames; an SV3D orbit has 21: cut it to those"),
    ],
)
def test_clips_of_another_length_are_refused(tmp_path, orbit, count, message):
    pytest.importorskip("av")
    path = write_clip(tmp_path / "orbit.mp4", np.resize(orbit, (count, *orbit[0].shape)))
    with pytest.raises(InputError, match=message):
        load_capture(path)


def test_frames_must_be_square(tmp_path, orbit):
    write_images(tmp_path, orbit[:, :64])
    with pytest.raises(InputError, match="0.png of .* has 96 x 64 pixels; frames of SV3D must be"):
        load_capture(tmp_path)


def test_broken_clips_are_named(tmp_path, orbit):
    pytest.importorskip("av")
    path = write_clip(tmp_path / "orbit.mp4", orbit)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"orbit.mp4' cannot be decoded: .*; it may be damaged"):
        load_capture(path)
    path.write_bytes(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(InputError, match="cannot be decoded"):
        load_capture(path)


def test_large_frames_are_refused_before_they_are_decoded(tmp_path, orbit, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(InputError, match="has frames of 96 x 96 pixels, more than are supported"):
        load_capture(write_clip(tmp_path / "orbit.mp4", orbit))


def test_a_clip_without_pyav_names_the_extra(tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    (tmp_path / "orbit.mp4").write_bytes(b"")
    with pytest.raises(GeoLRMError, match=r"reading .mp4 needs PyAV, .*'geolrm\[video\]'"):
        load_capture(tmp_path / "orbit.mp4")


@pytest.mark.parametrize("layout", [(3, 2), (2, 3)])
def test_tiles_of_a_sheet_are_read_row_by_row(tmp_path, layout):
    cameras = Cameras.from_orbit("zero123plus", radius=1.5)
    tiles = on_white(box_photos(cameras, 320))
    rows, columns = layout
    sheet = np.concatenate(
        [np.concatenate(list(tiles[row * columns :][:columns]), axis=1) for row in range(rows)]
    )
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    capture = load_capture(tmp_path / "sheet.png")
    np.testing.assert_array_equal(np.stack(capture.images), tiles)
    assert capture.notes[0] == f"the sheet is read row by row, {rows} rows of {columns}"
    assert_the_box(capture)


def test_other_single_images_are_no_sheets(tmp_path):
    Image.fromarray(np.zeros((400, 600, 3), np.uint8)).save(tmp_path / "photo.jpg")
    with pytest.raises(
        InputError, match=r"has 600 x 400 pixels; a single image can only be a Zero"
    ):
        load_capture(tmp_path / "photo.jpg")
