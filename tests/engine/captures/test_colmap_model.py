import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos, write_colmap_text

from geolrm import InputError
from geolrm.engine.captures.colmap_model import SparseCamera, model_suffix, read_model


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    cameras = box_cameras(4)
    folder = tmp_path_factory.mktemp("colmap") / "a"
    write_colmap_text(folder, box_photos(cameras), cameras, world=np.eye(4))
    return folder / "sparse" / "0"


def test_a_text_model_is_read_in_the_order_of_names(sparse):
    model = read_model(sparse)
    assert model.names == ["0.png", "1.png", "2.png", "3.png"] and model.camera_ids == [7] * 4
    assert model.w2c.shape == (4, 4, 4) and model.points.shape == (800, 3)
    centres = np.linalg.inv(model.w2c)[:, :3, 3]
    np.testing.assert_allclose(centres, box_cameras(4).c2w[:, :3, 3], atol=1e-6)


def test_binary_comes_before_text(tmp_path):
    assert model_suffix(tmp_path) is None
    for suffix in (".txt", ".bin"):
        for name in ("cameras", "images"):
            (tmp_path / f"{name}{suffix}").write_text("")
        assert model_suffix(tmp_path) == suffix


@pytest.mark.parametrize(
    ("model", "parameters", "pinhole", "distorts"),
    [
        ("SIMPLE_PINHOLE", (50, 32, 24), (50, 50, 32, 24), False),
        ("PINHOLE", (50, 60, 32, 24), (50, 60, 32, 24), False),
        ("OPENCV", (50, 60, 32, 24, 0, 0, 0, 0), (50, 60, 32, 24), False),
        ("OPENCV", (50, 60, 32, 24, 0, 0.1, 0, 0), (50, 60, 32, 24), True),
        ("SIMPLE_FISHEYE", (50, 32, 24), (50, 50, 32, 24), True),
    ],
)
def test_intrinsics_of_camera_models(model, parameters, pinhole, distorts):
    camera = SparseCamera(model, 64, 48, parameters)
    assert camera.pinhole == pinhole and camera.distorts is distorts
    fx, fy, cx, cy = pinhole
    expected = [[fx / 64, 0, cx / 64], [0, fy / 48, cy / 48], [0, 0, 1]]
    np.testing.assert_allclose(camera.normalised, expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("", "images.txt lists no images; reconstruct again with more overlap"),
        ("1 1 0 0 0 0 0 1 9 a.png\n\n", "image 'a.png' is of camera 9, which .* does not have"),
        ("1 1 0 0 9 a.png\n\n", "images.txt"),
        ("1 x 0 0 0 0 0 1 7 a.png\n\n", "images.txt"),
    ],
)
def test_damaged_images(sparse, tmp_path, images, message):
    (tmp_path / "cameras.txt").write_text((sparse / "cameras.txt").read_text())
    (tmp_path / "images.txt").write_text(images)
    with pytest.raises(InputError, match=message):
        read_model(tmp_path)
