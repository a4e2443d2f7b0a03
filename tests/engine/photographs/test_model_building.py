"""Undistorted images; models are built in test_pipeline.py."""

import numpy as np
import pytest
from PIL import Image

from geolrm import GeoLRMError
from geolrm.engine.photographs.child_process import run_job


def test_an_image_is_undistorted_with_its_alpha(tmp_path):
    image = np.zeros((60, 80, 4), np.uint8)
    image[10:50, 10:70] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    camera = {"model": "SIMPLE_RADIAL", "width": 80, "height": 60,
              "params": [100.0, 40.0, 30.0, -0.2]}  # fmt: skip
    job = [{"source": str(tmp_path / "a.png"), "output": str(tmp_path / "b.png"), "camera": camera}]
    told = []
    (pinhole,) = run_job("undistort", tmp_path / "log", lambda *at: told.append(at), images=job)
    straight = np.asarray(Image.open(tmp_path / "b.png"))
    assert straight.shape == (pinhole["height"], pinhole["width"], 4) and told == [(1, 1)]
    np.testing.assert_allclose(pinhole["focal"], 100, rtol=0.05)
    assert straight[30, 40].tolist() == [255] * 4 and straight[..., 3].min() == 0


def test_what_colmap_refuses_comes_back(tmp_path):
    job = [{"source": str(tmp_path / "none.png"), "output": "b.png", "camera": {}}]
    with pytest.raises(GeoLRMError, match="COLMAP could not undistort photographs: .*No such file"):
        run_job("undistort", tmp_path / "log", images=job)


def test_an_unknown_camera_model_comes_back(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    camera = {"model": "NONSENSE", "width": 8, "height": 8, "params": [1.0]}
    job = [{"source": str(tmp_path / "a.png"), "output": "b.png", "camera": camera}]
    with pytest.raises(GeoLRMError, match="COLMAP could not undistort photographs: "):
        run_job("undistort", tmp_path / "log", images=job)
