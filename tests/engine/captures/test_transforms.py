import json

import numpy as np
import pytest
from PIL import Image

from geolrm import InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.examples import CAPTURES


def edit(folder, change):
    """Rewrite transforms.json through ``change``."""
    file = folder / "transforms.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["shoe", "banana", "lion"])
def test_bundled_captures(name):
    capture = load_capture(CAPTURES / name)
    assert len(capture) == 38
    assert capture.images[0].shape == (256, 256, 4)
    np.testing.assert_allclose(capture.cameras.intrinsics[:, 0, 0], 274.4968858 / 256)
    assert load_capture(CAPTURES / name / "transforms.json").names == capture.names


def test_blender_style_angle_and_paths_without_suffix(capture_copy):
    def change(content):
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            content.pop(key)
        for frame in content["frames"]:
            frame["file_path"] = frame["file_path"].removesuffix(".png")

    capture = load_capture(edit(capture_copy, change))
    np.testing.assert_allclose(capture.cameras.intrinsics[3, 0, 0], 274.4968858 / 256, rtol=1e-6)


def test_intrinsics_per_frame_and_non_square_images(capture_copy):
    image = np.zeros((100, 200, 3), np.uint8)
    Image.fromarray(image).save(capture_copy / "rgb" / "005.png")

    def change(content):
        content["frames"][5] |= {"w": 200, "h": 100, "fl_x": 220, "fl_y": 210, "cx": 90, "cy": 55}

    capture = read_capture(edit(capture_copy, change))  # a black image shows no object
    assert capture.images[5].shape == (100, 200, 3)
    expected = [[1.1, 0, 0.45], [0, 2.1, 0.55], [0, 0, 1]]
    np.testing.assert_allclose(capture.cameras.intrinsics[5], expected)


def test_mask_becomes_alpha(capture_copy):
    mask = np.zeros((256, 256), np.uint8)
    mask[:100] = 255
    Image.fromarray(mask).save(capture_copy / "mask.png")
    capture = load_capture(
        edit(capture_copy, lambda c: c["frames"][0].update(mask_path="mask.png"))
    )
    np.testing.assert_array_equal(capture.images[0][..., 3], mask)


def set_in_frame(index, key, value):
    return lambda content: content["frames"][index].__setitem__(key, value)


def nan_pose(content):
    content["frames"][7]["transform_matrix"][0][0] = float("nan")


def flip_axes(content):
    for frame in content["frames"]:
        for row in frame["transform_matrix"][:3]:
            row[1], row[2] = -row[1], -row[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in_frame(9, "file_path", None), "frame 9 has no file_path"),
        (set_in_frame(2, "transform_matrix", [[1, 2], [3]]), "frame 2: transform_matrix must be"),
        (set_in_frame(2, "transform_matrix", None), "frame 2: transform_matrix must be"),
        (nan_pose, "transforms.json: pose 7 holds NaN or infinity"),
        (flip_axes, "transforms.json: pose 0 looks away .* OpenCV"),
        (lambda c: c.update(frames=[]), "lists no frames"),
        (lambda c: c.update(frames=[3]), "frame 0 is int; it must be an object"),
        (lambda c: c.update(fl_x="wide"), "fl_x is 'wide'; it must be a finite number"),
        (lambda c: c.update(fl_x=10**400), "fl_x is '1000000.* it must be a finite number"),
        (lambda c: c.update(w=0), "w is 0; it must be positive"),
        (lambda c: c.update(w=512), "w and h are 512 x 256, but the image has 256 x 256 pixels"),
        (
            lambda c: c.update(camera_model="EQUIRECTANGULAR"),
            "camera_model is 'EQUIRECTANGULAR'; it must be one of PINHOLE, .*OPENCV_FISHEYE: make",
        ),
        (lambda c: c.update(k4=0.2), "k4 is 0.2, which only OPENCV_FISHEYE has; correct camera_"),
        (set_in_frame(1, "mask_path", 5), "frame 1: mask_path is 5; it must name"),
        (
            lambda c: [frame.update(file_path=f"none/{k}") for k, frame in enumerate(c["frames"])],
            r"every one of the 38 listed images is missing \(none/0, none/1, none/2, none/3 and 34 "
            r"more\); restore them where the file says, relative to",
        ),
        (set_in_frame(1, "transform_matrix", [[10**400] * 4] * 4), "transform_matrix must be"),
        (lambda c: c.update(cx=-400), "pose 0 looks away"),
        (lambda c: [c.pop("fl_x"), c.pop("camera_angle_x")], "neither fl_x .* nor camera_angle_x"),
        (
            lambda c: [c.pop("fl_x"), c.update(camera_angle_x=50)],
            "camera_angle_x is 50; it must be in radians",
        ),
    ],
)
def test_broken_captures_are_named(capture_copy, change, message):
    with pytest.raises(InputError, match=message):
        load_capture(edit(capture_copy, change))


@pytest.mark.parametrize("name", ["rgb/none.png", "/", "a" * 5000])
def test_missing_images_are_left_out(capture_copy, name):
    capture = load_capture(edit(capture_copy, set_in_frame(9, "file_path", name)))
    assert len(capture) == 37 and "rgb/009.png" not in capture.names
    (note,) = capture.notes
    assert note.startswith("1 of 38 listed images is missing and was left out: ")
    assert len(note) < 200


def test_truncated_image_is_named(capture_copy):
    image = capture_copy / "rgb" / "033.png"
    image.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"frame 33: image .*033.png' cannot be decoded"):
        load_capture(capture_copy)


def test_unreadable_image_is_named(capture_copy):
    (capture_copy / "rgb" / "000.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match="frame 0: .* is no image that can be read"):
        load_capture(capture_copy)


@pytest.mark.parametrize("text", ["{", "", "[]", '"x"', "\xff", "[" * 100000])
def test_broken_json_is_named(capture_copy, text):
    (capture_copy / "transforms.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"transforms\.json (is no valid JSON|holds a)"):
        load_capture(capture_copy)


def test_sixteen_bit_images_are_refused(capture_copy):
    Image.fromarray(np.full((256, 256), 40000, np.uint16)).save(capture_copy / "rgb" / "000.png")
    with pytest.raises(InputError, match="more than 8 bits a channel .*; convert it to 8-bit"):
        load_capture(capture_copy)


def test_missing_capture(tmp_path):
    with pytest.raises(InputError, match="is no capture .there is no such path."):
        load_capture(tmp_path / "none")
    with pytest.raises(InputError, match="is no capture; give a folder"):
        load_capture(tmp_path)
    with pytest.raises(InputError, match="is not a usable path: File name too long"):
        load_capture("a" * 5000)


def test_subset_names_the_bad_index(shoe):
    with pytest.raises(InputError, match="view 38 was asked for, but .* has frames 0 to 37"):
        shoe.subset([0, 38])
