"""Each wrong convention is brought about at an object off the origin, and named."""

import numpy as np
import pytest
from samples.capture_files import box_cameras, write_poses

from geolrm import Cameras, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.diagnostics.conventions import (
    convention_warning,
    diagnose_agreement,
    diagnose_convention,
    focus_of,
    share_facing,
)
from geolrm.engine.captures.diagnostics.diagnosis import diagnose
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.examples import capture_path

PLACE = (4.0, 1.0, 1.5)


def transposed(c2w):
    turned = c2w.copy()
    turned[:, :3, :3] = np.swapaxes(c2w[:, :3, :3], 1, 2)
    return turned


WRONG = {
    "OpenCV camera-to-world": lambda c2w: c2w @ FLIP_YZ,
    "OpenGL world-to-camera": np.linalg.inv,
    "OpenCV world-to-camera": lambda c2w: np.linalg.inv(c2w @ FLIP_YZ),
    "transposed": transposed,
    "transposed OpenCV": lambda c2w: transposed(c2w @ FLIP_YZ),
}


def away(cameras, scale=1.0, by=PLACE):
    poses = cameras.c2w.copy()
    poses[:, :3, 3] = scale * (poses[:, :3, 3] + by)
    return Cameras(poses, cameras.intrinsics)


def doubts(folder, photos, cameras):
    folder.mkdir(exist_ok=True)
    found = diagnose(read_capture(write_poses(folder, photos, cameras)), 50.0, 64).diagnostics
    return [str(one) for one in found]


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_convention_is_named_wherever_the_object_is(tmp_path, photos, cameras, name, scale):
    right = away(cameras, scale)
    wrong = Cameras(WRONG[name](right.c2w), right.intrinsics)
    first, *_ = doubts(tmp_path, photos, wrong)
    assert first.startswith("axes: ") and f" if these were {name} poses; " in first
    found = diagnose_convention(wrong)
    assert found is not None and found[0] == name
    assert diagnose_convention(right) is None


def test_right_poses_of_an_object_elsewhere_are_told_to_fit(tmp_path, photos, cameras):
    (text,) = doubts(tmp_path, photos, away(cameras, by=(1.3, 1.3, 0.5)))
    assert text.startswith("scale: by its masks the object reaches from (")
    assert text.endswith("or give --fit, which does both (geolrm run does by itself)")


def test_millimetres(tmp_path, photos, cameras):
    (text,) = doubts(tmp_path, photos, away(cameras, 1000.0))
    assert text.startswith("scale: by its masks") and "--fit" in text
    assert "the poses may be in millimetres; move the poses by (" in text
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    first, *_ = doubts(tmp_path, noise, away(cameras, 1000.0))
    assert first.startswith(
        "scale: the cameras look at (4e+03, 1e+03, 1.5e+03) from 1.8e+03 away, as if positions "
        "were in millimetres or another small unit; "
    )
    assert first.endswith("or give masks or --remove-background, and --fit")


def test_y_up_off_the_origin(tmp_path, photos, cameras):
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    y_up = Cameras(turn @ away(cameras).c2w, cameras.intrinsics)
    found = doubts(tmp_path, photos, y_up)
    assert any("the cameras stand upright along y, but z must be up; turn the poses by 90" in text
               for text in found)  # fmt: skip


@pytest.mark.parametrize(
    ("order", "how"),
    [
        (lambda n: list(range(n))[::-1], "in reverse"),
        (lambda n: sorted(range(n), key=str), "in the order of sorted() (1, 10, 2)"),
        (lambda n: [*range(1, n), 0], "one place earlier"),
        (lambda n: [n - 1, *range(n - 1)], "one place later"),
    ],
)
def test_poses_in_another_order_than_images(tmp_path, order, how):
    """Of a shoe: a box looks alike from several sides."""
    shoe = load_capture(capture_path("shoe")).subset(range(0, 36, 3))
    there = away(shoe.cameras)
    wrong = Cameras(there.c2w[order(len(there))], there.intrinsics)
    found = doubts(tmp_path, shoe.images, wrong)
    assert not any("--fit" in text for text in found)  # which would find another object
    text = next(t for t in found if t.startswith("poses: "))
    assert text == (
        f"poses: the masks agree on no object, and would if poses and images were matched {how}: "
        "put them in the same order"
    )


def test_one_sentence_warns_before_a_run(tmp_path, photos, cameras):
    wrong = Cameras(WRONG["OpenCV camera-to-world"](away(cameras).c2w), cameras.intrinsics)
    text = convention_warning(read_capture(write_poses(tmp_path, photos, wrong)))
    assert text == (
        "the masks agree on no object, and would if these were OpenCV camera-to-world poses; they "
        "must be OpenGL camera-to-world (x right, y up, looking along -z): negate columns 1 and 2 "
        "of the 3x3 part (y and z) (geolrm check draws them)"
    )
    right = read_capture(write_poses(tmp_path, photos, cameras))
    assert convention_warning(right) is None and diagnose_agreement(right) is None


def test_the_focus_and_who_looks_at_it(cameras):
    there = away(cameras)
    np.testing.assert_allclose(focus_of(there.c2w, there.intrinsics), PLACE, atol=1e-9)
    assert share_facing(there.c2w, there.intrinsics) == 1
    poses = there.c2w.copy()
    poses[:3] = poses[:3] @ FLIP_YZ
    assert share_facing(poses, there.intrinsics) == pytest.approx(0.75)


def test_cameras_that_look_one_way_say_nothing():
    ahead = np.tile(np.eye(4), (6, 1, 1))
    ahead[:, 0, 3] = np.arange(6)
    cameras = Cameras(ahead, box_cameras(6).intrinsics)
    assert share_facing(cameras.c2w, cameras.intrinsics) == 0
    assert diagnose_convention(cameras) is None
