"""Changes of the inputs: what each does, and to nothing else."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos

from geolrm.bench.quality.input_changes import InputChanges, cropped_box, cut_views, exposed
from geolrm.engine.captures.capture import Capture
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras

SIZE, VIEWS = 40, 8


@pytest.fixture(scope="module")
def whole():
    cameras = box_cameras(4)
    return Capture(Path("box"), list("abcd"), list(box_photos(cameras)), cameras)


@pytest.fixture
def capture(tmp_path):
    images = np.zeros((VIEWS, SIZE, SIZE, 4), np.uint8)
    images[:, 10:30, 5:35] = [120, 60, 30, 255]
    cameras = Cameras.around(VIEWS, 1.8, 50.0)
    return Capture(tmp_path, [f"{i}.png" for i in range(VIEWS)], list(images), cameras)


def test_nothing_asked_changes_nothing(capture):
    assert InputChanges().apply(capture, 0) is capture and not InputChanges().wrong_poses


def test_wrong_poses_leave_the_images(capture):
    for changes in (InputChanges(pose_degrees=1.0), InputChanges(pose_shift=0.01)):
        changed = changes.apply(capture, 3)
        assert changes.wrong_poses and changed.images is capture.images
        assert not np.array_equal(changed.cameras.c2w, capture.cameras.c2w)
        again = changes.apply(capture, 3)
        np.testing.assert_array_equal(changed.cameras.c2w, again.cameras.c2w)
        other = changes.apply(capture, 4)
        assert not np.array_equal(changed.cameras.c2w, other.cameras.c2w)


def test_a_stop_is_twice_the_light():
    grey = np.uint8([[[188, 92, 0, 200]]])  # linear 0.5, 0.107
    np.testing.assert_array_equal(exposed(grey, 0), grey)
    brighter = exposed(grey, 1)
    np.testing.assert_array_equal(brighter, [[[255, 128, 0, 200]]])
    np.testing.assert_array_equal(exposed(grey, -1)[0, 0, :2], [137, 65])


def test_exposure_differs_by_view_and_is_none_on_average(capture):
    changed = InputChanges(exposure=0.5).apply(capture, 0)
    reds = np.array([image[20, 20, 0] for image in changed.images], float) / 255
    linear = ((reds + 0.055) / 1.055) ** 2.4
    stops = np.log2(linear / ((120 / 255 + 0.055) / 1.055) ** 2.4)
    assert abs(stops.mean()) < 0.02 and 0.2 < stops.std() < 0.9
    assert changed.cameras is capture.cameras


@pytest.mark.parametrize("side", range(4))
def test_a_crop_leaves_at_least_the_share_outside(side):
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:20] = True
    left, top, right, bottom = cropped_box(mask, 0.3, side)
    assert mask[top:bottom, left:right].sum() == 70
    assert (left, top, right, bottom) == [
        (13, 0, 30, 20), (0, 0, 17, 20), (0, 8, 30, 20), (0, 0, 30, 12)
    ][side]  # fmt: skip
    assert cropped_box(mask, 0, side) == (0, 0, 30, 20)


def project(points, c2w, intrinsics):
    camera = (np.linalg.inv(c2w @ FLIP_YZ) @ np.append(points, 1))[:3]
    return (intrinsics @ camera)[:2] / camera[2]


def test_cropped_views_keep_their_cameras(whole):
    """A point falls on the same pixel of the image that it fell on before."""
    parts = cut_views(whole, 0.3)
    point = np.array([0.1, -0.05, 0.12])
    size = whole.images[0].shape[0]
    for index, image in enumerate(parts.images):
        height, width = image.shape[:2]
        left, top = (size - width) * (index % 4 == 0), (size - height) * (index % 4 == 2)
        np.testing.assert_array_equal(
            image, whole.images[index][top : top + height, left : left + width]
        )
        before = size * project(point, whole.cameras.c2w[index], whole.cameras.intrinsics[index])
        after = project(point, parts.cameras.c2w[index], parts.cameras.intrinsics[index])
        np.testing.assert_allclose(after * [width, height] + [left, top], before, atol=1e-9)
        shown = (image[..., 3] > 127).sum() / (whole.images[index][..., 3] > 127).sum()
        assert 0.6 < shown <= 0.701


def test_images_without_alpha_are_not_cut(capture):
    plain = replace(capture, images=[image[..., :3] for image in capture.images])
    with pytest.raises(InputError, match="image 0 has no alpha, which tells what is cut off it"):
        InputChanges(cut=0.2).apply(plain, 0)


def test_noise_after_which_a_camera_looks_away_is_refused_by_its_name(capture):
    changes = InputChanges(pose_degrees=30.0, exposure=1.0)
    faulty = []
    for seed in range(60):
        try:
            changes.check(capture, seed)
            changes.apply(capture, seed).check_facing()
        except InputError as error:
            faulty.append((seed, str(error)))
    assert 0 < len(faulty) < 30
    seed, text = faulty[0]
    assert re.fullmatch(
        rf"{str(capture.path)!r}: after --pose-noise 30,0 the camera of '[0-7].png', one of 8 "
        "views, stands in the object cube or has it out of view; every camera must stand outside "
        "and show it: change the inputs less, or try another --seed",
        text,
    )
    with pytest.raises(InputError, match=re.escape(text)):
        changes.apply(capture, seed)


def test_masks_of_known_pixels_are_cropped_with_their_images(capture):
    known = np.ones((SIZE, SIZE), bool)
    known[:, -1] = False
    cut = InputChanges(cut=0.3).apply(replace(capture, valid=[known, *[None] * (VIEWS - 1)]), 0)
    assert cut.valid[0].shape == cut.images[0].shape[:2] and cut.valid[1] is None
    assert not cut.valid[0][:, -1].any() and cut.valid[0][:, :-1].all()


def test_what_a_cut_leaves_is_an_image_of_a_camera(capture):
    wide = [np.full((SIZE, 4 * SIZE, 4), 255, np.uint8)] * VIEWS
    one = [np.full((SIZE, 1, 4), 255, np.uint8)] * VIEWS
    for images, outside, kept in ((wide, 0.9, "16 x 40 of its 160 x 40"), (one, 0.5, "0 x 40")):
        with pytest.raises(InputError, match=f"cut by {outside}, image 0 keeps {kept}") as caught:
            InputChanges(cut=outside).check(replace(capture, images=images), 0)
        assert str(caught.value).endswith("too narrow a strip for a camera: cut less (--cut)")


def test_values_out_of_range():
    with pytest.raises(InputError, match=r"exposure is 6; it must be stops, 0 to 5 \(--exposure\)"):
        InputChanges(exposure=6)
    with pytest.raises(InputError, match=r"0 to 0\.3 \(--pose-noise DEGREES,SHIFT\)"):
        InputChanges(pose_shift=float("nan"))
