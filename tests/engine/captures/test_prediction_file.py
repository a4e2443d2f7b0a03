"""The arrays of VGGT's and Depth Anything 3's files, under the names and shapes of both."""

import numpy as np
import pytest
from samples.capture_files import box_cameras, photo_world, predicted

from geolrm import InputError
from geolrm.engine.captures import arrays
from geolrm.engine.captures.prediction_file import read_prediction, unprojected


@pytest.fixture(scope="module")
def stored(photos, cameras):
    return predicted(photos, cameras)


@pytest.fixture
def read(tmp_path):
    def save_and_read(**members):
        np.savez_compressed(tmp_path / "it.npz", **members)
        return read_prediction(tmp_path / "it.npz")

    return save_and_read


def same(a, b):
    for name in ("world_to_camera", "intrinsics", "images", "points"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-6)
    assert a.size == b.size


def test_names_of_both_networks(stored, read):
    da3 = read(**stored)
    assert len(da3) == 12
    assert da3.size == (64, 64)
    vggt = {
        "extrinsic": stored["extrinsics"], "intrinsic": stored["intrinsics"],
        "images": np.moveaxis(stored["image"], -1, 1) / np.float32(255),
        "depth": stored["depth"][..., None], "depth_conf": stored["conf"],
        "pose_enc_list": np.array([{}], object),  # is never read
    }  # fmt: skip
    same(read(**vggt), da3)
    batch = {k: v[None] for k, v in vggt.items() if k != "pose_enc_list"}
    same(read(**batch), da3)
    documented = {"exts": stored["extrinsics"], "ixts": stored["intrinsics"]}
    mini = read(**documented, depth=stored["depth"], conf=stored["conf"])
    assert mini.images is None
    np.testing.assert_array_equal(mini.points, da3.points)


def test_points_lie_where_the_depths_say(stored, read):
    """On the faces of the box, in the network's frame, as a loop over pixels finds them."""
    points = read(**stored).points
    expected = []
    for view in range(12):
        w2c, k = stored["extrinsics"][view].astype(float), stored["intrinsics"][view].astype(float)
        for v in range(1, 64, 2):
            for u in range(1, 64, 2):
                depth, sure = stored["depth"][view, v, u], stored["conf"][view, v, u]
                if depth > 0 and sure >= 1.5:
                    camera = depth * (np.linalg.inv(k) @ [u + 0.5, v + 0.5, 1])
                    expected.append(w2c[:, :3].T @ (camera - w2c[:, 3]))
    assert len(points) == len(expected) > 500
    np.testing.assert_allclose(points, expected, atol=1e-5)


def test_the_less_trusted_half_is_left_out():
    depths = np.ones((1, 4, 4), np.float32)
    pose, k = np.eye(4)[None], np.diag([4.0, 4.0, 1.0])[None]
    trust = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert len(unprojected(pose, k, depths)) == 16
    kept = unprojected(pose, k, depths, trust)
    assert kept[:, 1].min() == 0.625  # the lower two rows
    depths[0, 3] = [0, -1, np.nan, np.inf]
    assert len(unprojected(pose, k, depths, trust)) == 4


def test_rotations_are_made_exact(stored, read):
    """16 bits are enough for neither half precision's poses nor ours."""
    rough = stored | {"extrinsics": stored["extrinsics"].astype(np.float16)}
    rotations = read(**rough).world_to_camera[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2), np.tile(np.eye(3), (12, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(rotations, stored["extrinsics"][:, :, :3], atol=2e-3)


FOUR = np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1))
THREE = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
DEPTH = np.ones((2, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "has no array 'extrinsics' or 'extrinsic'; give the .npz that Depth Anything 3"),
        ({"extrinsics": FOUR}, "has no array 'intrinsics' beside its extrinsics; export it too"),
        ({"extrinsics": FOUR, "ixts": THREE}, "has no array 'depth' nor an 'image' beside"),
        ({"extrinsics": FOUR[:, :2]}, r"extrinsics is \[2, 2, 4\]; it must be \[V, 3, 4\] or \[V,"),
        ({"extrinsics": np.stack([FOUR, FOUR])}, r"extrinsics is \[2, 2, 3, 4\]; it must be"),
        ({"extrinsics": FOUR.astype(str)}, "extrinsics has dtype <U32; it must hold floating-poi"),
        ({"extrinsics": FOUR, "intrinsics": THREE[:1], "depth": DEPTH},
         "intrinsics is of 1 views, but the extrinsics of 2; all arrays must be of the same"),
        ({"extrinsics": FOUR, "intrinsics": THREE, "depth": DEPTH[0]},
         r"depth is \[4, 6\]; it must be \[V, ..., ...\] or \[V, ..., ..., 1\], of one scene"),
        ({"extrinsics": FOUR, "intrinsics": THREE, "depth": DEPTH,
          "image": np.zeros((2, 4, 4, 3), np.uint8)},
         "has images of 4 x 4 pixels but depths of 6 x 4; both must be of what the network read"),
        ({"extrinsics": FOUR * np.float32("nan"), "intrinsics": THREE, "depth": DEPTH},
         "extrinsics of view 0 hold NaN or infinity; estimate them again"),
        ({"extrinsics": FOUR * 2, "intrinsics": THREE, "depth": DEPTH},
         r"view 0 are no rigid motion \(singular values 2, 2, 2\); they must be \[R | t\], world"),
        ({"extrinsics": FOUR * [[-1], [1], [1]], "intrinsics": THREE, "depth": DEPTH},
         r"view 0 are no rigid motion \(singular values 1, 1, 1, mirrored\); they must be"),
        ({"extrinsics": np.empty((10_001, 3, 4), np.float32)}, "lists 10,001 frames; at most 10,"),
    ],
)  # fmt: skip
def test_other_arrays_are_named(read, members, message):
    with pytest.raises(InputError, match=message):
        read(**members)


def test_large_arrays_are_not_unpacked(read, stored, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_ARRAY", 10_000)
    with pytest.raises(InputError, match="at most 10000 of such are read: store less"):
        read(**stored)


def test_the_box_of_the_sample_is_at_its_place():
    """So that what the tests above hold the reader against is right itself."""
    cameras = box_cameras(2)
    world = photo_world()
    sample = predicted(np.full((2, 64, 64, 4), 255, np.uint8), cameras)
    centre = sample["extrinsics"][0].astype(float) @ world @ [0, 0, 0, 1]
    np.testing.assert_allclose(centre[2], 1.8 * 3.7, rtol=1e-5)
