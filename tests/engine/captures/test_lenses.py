"""Lenses of transforms.json: what they distort is straight again."""

import json

import numpy as np
import pytest
from samples.capture_files import FOV, SIZE, box_cameras, write_transforms

from geolrm import load_capture

FOCAL = 0.5 * SIZE / np.tan(np.deg2rad(FOV) / 2)  # px
K = 0.15


def seen_through(photo, bend):
    """The picture of a lens that shows at radius ``bend(r)`` what a pinhole shows at r."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    radius = np.hypot(rows, columns) / FOCAL
    known = np.linspace(0, 2, 4000)
    straight = np.interp(radius, bend(known), known)
    ratio = np.divide(straight, radius, out=np.ones_like(radius), where=radius > 0)
    at = [np.floor(along * ratio + SIZE / 2).astype(int) for along in (rows, columns)]
    inside = (min(map(np.min, at)) >= 0) & (max(map(np.max, at)) < SIZE)
    return photo[at[0].clip(0, SIZE - 1), at[1].clip(0, SIZE - 1)] if inside else pad(photo, at)


def pad(photo, at):
    outside = (np.minimum(*at) < 0) | (np.maximum(*at) >= SIZE)
    found = photo[at[0].clip(0, SIZE - 1), at[1].clip(0, SIZE - 1)]
    found[outside] = 0
    return found


@pytest.mark.parametrize(
    ("fields", "bend"),
    [
        ({"camera_model": "OPENCV", "k1": K}, lambda r: r * (1 + K * r**2)),
        ({"k3": 0.4}, lambda r: r * (1 + 0.4 * r**6)),
        ({"camera_model": "OPENCV_FISHEYE"}, np.arctan),
        ({"is_fisheye": True, "k1": 0.1}, lambda r: np.arctan(r) * (1 + 0.1 * np.arctan(r) ** 2)),
    ],
)
def test_distortion_is_removed(tmp_path, photos, fields, bend):
    pytest.importorskip("pycolmap")
    cameras = box_cameras()
    images = np.stack([seen_through(photo, bend) for photo in photos])
    folder = write_transforms(tmp_path, images, cameras, fl_x=FOCAL, w=SIZE, h=SIZE, **fields)
    capture = load_capture(folder)
    assert capture.notes == ("images whose lens distortion was removed: 12",)
    from samples.known_shapes import box_splats

    for index, image in enumerate(capture.images):
        drawn = box_splats().render(capture.cameras[[index]], image.shape[1::-1]).alpha[0]
        agreeing = ((drawn >= 0.5) == (image[..., 3] >= 128)).mean()
        assert agreeing > 0.97


def test_a_frame_of_its_own_lens(tmp_path, photos, cameras):
    pytest.importorskip("pycolmap")
    folder = write_transforms(tmp_path, photos, cameras, fl_x=FOCAL, k1=0.00005)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][3]["k1"] = K
    (folder / "transforms.json").write_text(json.dumps(content))
    capture = load_capture(folder)
    assert capture.notes == ("images whose lens distortion was removed: 1",)
    np.testing.assert_array_equal(capture.images[2], photos[2])
    assert capture.images[3].shape != photos[3].shape


def test_applied_transform_is_undone_on_request(tmp_path, photos, cameras):
    applied = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0.25]]
    folder = write_transforms(tmp_path, photos, cameras, applied_transform=applied,
                              applied_scale=2.0)  # fmt: skip
    capture = load_capture(folder)
    assert capture.notes == ("the applied_transform of the file was left as it is",)
    np.testing.assert_allclose(capture.cameras.c2w, cameras.c2w)
    before = load_capture(folder, undo_applied_transform=True, fit=True)
    assert before.notes[0] == "the applied_transform of the file was undone"
    original = before.cameras.c2w[:, :3, 3] @ before.object_to_world[:3, :3].T
    original += before.object_to_world[:3, 3]
    again = 2 * (original @ np.array(applied)[:, :3].T + np.array(applied)[:, 3])
    np.testing.assert_allclose(again, cameras.c2w[:, :3, 3], atol=1e-9)
