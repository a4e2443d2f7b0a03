import numpy as np
import pytest

from geolrm import GeoLRMError, InputError
from geolrm.engine.captures import undistortion
from geolrm.engine.captures.colmap_model import SparseCamera
from geolrm.engine.system import extras


def test_a_note_counts_images():
    assert undistortion.distortion_note(0) == []
    assert undistortion.distortion_note(3) == ["images whose lens distortion was removed: 3"]


def test_without_pycolmap_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    camera = SparseCamera("OPENCV", 8, 8, (9, 9, 4, 4, 0.1, 0, 0, 0))
    with pytest.raises(GeoLRMError, match=r"a.png has lens distortion \(OPENCV\), and correcting"):
        undistortion.undistorted(np.zeros((8, 8, 3), np.uint8), camera, "a.png")


@pytest.mark.parametrize("channels", [3, 4])
def test_a_lens_without_distortion_changes_nothing(channels):
    pytest.importorskip("pycolmap")
    image = np.random.default_rng(0).integers(0, 256, (20, 24, channels), np.uint8)
    camera = SparseCamera("OPENCV", 48, 40, (60, 60, 24, 20, 0, 0, 0, 0))  # of twice the size
    pixels, pinhole, known = undistortion.undistorted(image, camera, "a.png")
    assert pixels.shape[2] == channels and pinhole.model == "PINHOLE" and known is None
    fx, fy, cx, cy = pinhole.pinhole
    assert fx == pytest.approx(30) and fy == pytest.approx(30)
    assert cx == pytest.approx(pixels.shape[1] / 2, abs=1)
    assert cy == pytest.approx(pixels.shape[0] / 2, abs=1)


def test_a_lens_that_cannot_be_undone(monkeypatch):
    pytest.importorskip("pycolmap")

    def thrown(*_):
        raise RuntimeError("Check failed: IsUndistorted")

    monkeypatch.setattr(undistortion, "_undistort", thrown)
    camera = SparseCamera("OPENCV", 24, 20, (30, 30, 12, 10, 9, 9, 9, 9))
    with pytest.raises(InputError, match=r"\(OPENCV\) that cannot be undone: Check failed: IsU"):
        undistortion.undistorted(np.zeros((20, 24, 3), np.uint8), camera, "a.png")


def test_what_the_lens_does_not_fill_is_unknown():
    """A lens so strong that the straight image ends before its frame does."""
    pytest.importorskip("pycolmap")
    image = np.full((60, 80, 3), 200, np.uint8)
    camera = SparseCamera("OPENCV", 80, 60, (30, 30, 40, 30, -0.3, 0, 0, 0))
    pixels, _, known = undistortion.undistorted(image, camera, "a.png")
    assert known is not None and known.shape == pixels.shape[:2] and 0 < known.mean() < 1
    np.testing.assert_array_equal(pixels[~known], 0)
    np.testing.assert_array_equal(pixels[known], 200)


def test_a_capture_whose_images_are_known_whole_says_nothing():
    mask = np.zeros((2, 2), bool)
    assert undistortion.valid_masks([None, None]) is None
    assert undistortion.valid_masks([None, mask]) == [None, mask]
