"""What is done to a capture by itself, and what the notes say of it."""

import json

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import (
    box_cameras,
    on_white,
    write_colmap_text,
    write_images,
    write_transforms,
)

from geolrm import Cameras, InputError, load_capture
from geolrm.engine.captures import load_complete_capture, load_every_view, read_capture
from geolrm.engine.captures.diagnostics.conventions import convention_warning
from geolrm.engine.captures.images import ImageReader
from geolrm.engine.captures.lazy_images import LazyImages
from geolrm.engine.captures.readiness import (
    faulty_views,
    fit_where_outside,
    left_out_note,
    looked_at,
    with_masks_ready,
)
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.geometry.similarity import move_poses


def moved(cameras, scale=1.0, by=(0.0, 0.0, 0.0)):
    poses = cameras.c2w.copy()
    poses[:, :3, 3] = scale * poses[:, :3, 3] + by
    return Cameras(poses, cameras.intrinsics)


@pytest.mark.parametrize(
    ("scale", "by", "reason"),
    [(3, (0, 0, 0), "beyond the cube"), (1, (4, 1, 1.5), "beyond the cube"),
     (0.3, (0, 0, 0), "of the cube's side"), (1000, (4000, 1000, 1500), "beyond the cube")],
)  # fmt: skip
def test_an_object_outside_the_cube_or_tiny_is_fitted(tmp_path, photos, cameras, scale, by, reason):
    elsewhere = moved(cameras, scale, by)
    folder = write_transforms(tmp_path, photos, elsewhere)
    capture = load_capture(folder)
    (note,) = capture.notes
    assert note.startswith("by its masks the object reaches from (") and reason in note
    assert "so that it was fitted (--no-fit leaves it): the object was centred from" in note
    back = move_poses(capture.cameras.c2w, capture.object_to_world)
    np.testing.assert_allclose(back, elsewhere.c2w, atol=1e-6 * max(scale, 1))
    np.testing.assert_array_equal(capture.cameras.c2w, load_capture(folder, fit=True).cameras.c2w)
    left = read_capture(folder)
    np.testing.assert_array_equal(left.cameras.c2w, elsewhere.c2w)
    assert left.notes == ()


def test_an_object_in_the_cube_stays(tmp_path, photos, cameras):
    capture = load_capture(write_transforms(tmp_path, photos, cameras))
    np.testing.assert_array_equal(capture.cameras.c2w, cameras.c2w)
    assert capture.notes == ()


def test_it_stays_without_masks_or_where_they_do_not_agree(tmp_path, photos, cameras):
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 255, (12, 64, 64, 3), np.uint8)
    far = moved(cameras, 3)
    capture = load_capture(write_transforms(tmp_path / "a", plain, far))
    np.testing.assert_array_equal(capture.cameras.c2w, far.c2w)
    blobs = np.zeros_like(photos)
    for image, (x, y) in zip(blobs, rng.integers(0, 56, (12, 2)), strict=True):
        image[y : y + 8, x : x + 8] = 255
    capture = load_capture(write_transforms(tmp_path / "b", blobs, far))
    np.testing.assert_array_equal(capture.cameras.c2w, far.c2w)


def test_a_view_with_an_empty_mask_is_left_out_and_named(tmp_path, photos, cameras):
    images = photos.copy()
    images[3, ..., 3] = 0
    folder = write_transforms(tmp_path, images, cameras)
    capture = load_capture(folder)
    assert len(capture) == 11 and "rgb/3.png" not in capture.names
    assert capture.notes == ("1 view has an empty mask and will be left out: 3 (rgb/3.png)",)
    whole = read_capture(folder)
    assert len(whole) == 12 and faulty_views(whole) == {3: "an empty mask"}


def test_a_view_with_an_inverted_mask_is_left_out_most_are_turned_over(tmp_path, photos, cameras):
    images = photos.copy()
    images[[2, 5], ..., 3] = 255 - images[[2, 5], ..., 3]
    capture = load_capture(write_transforms(tmp_path / "a", images, cameras))
    assert capture.notes == (
        "2 views have an inverted mask and will be left out: 2 (rgb/2.png), 5 (rgb/5.png)",
    )
    images = photos.copy()
    images[..., 3] = 255 - images[..., 3]
    capture = load_capture(write_transforms(tmp_path / "b", images, cameras))
    assert capture.notes == (
        "the masks are inverted (the object was black) and were turned over: 12",
    )
    np.testing.assert_array_equal(capture.images[4], photos[4])


def test_inverted_masks_of_small_objects_are_turned_over(tmp_path, photos, cameras):
    images = photos.copy()
    images[..., 3] = 255
    images[:, 28:36, 28:36, 3] = 0  # 64 of the 1024 pixels in the middle of 64 x 64
    capture = read_capture(write_transforms(tmp_path, images, cameras))
    assert capture.notes == (
        "the masks are inverted (the object was black) and were turned over: 12",
    )
    assert [int((image[..., 3] == 255).sum()) for image in capture.images] == [64] * 12


def test_fitting_names_the_convention_that_keeps_masks_from_agreeing(tmp_path, photos, cameras):
    wrong = Cameras(moved(cameras, 1, (4, 1, 1.5)).c2w @ FLIP_YZ, cameras.intrinsics)
    folder = write_transforms(tmp_path, photos, wrong)
    with pytest.raises(InputError) as raised:
        load_capture(folder, fit=True)
    assert str(raised.value).removeprefix(str(tmp_path)).lstrip("/") == (
        "transforms.json: the masks agree on no object, and would if these were OpenCV "
        "camera-to-world poses; they must be OpenGL camera-to-world (x right, y up, looking along "
        "-z): negate columns 1 and 2 of the 3x3 part (y and z) (geolrm check draws them)"
    )


def test_no_view_is_left(tmp_path, photos, cameras):
    images = photos.copy()
    images[..., 3] = 0
    folder = write_transforms(tmp_path, images, cameras)
    with pytest.raises(InputError, match=r": all 12 views have a mask that shows no object \(an "
                       r"empty mask\); the object must be opaque or white in it: make the masks "
                       r"again, or leave them out$"):  # fmt: skip
        load_capture(folder)
    assert left_out_note(read_capture(folder), {}) == []


def test_a_uniform_background_is_told(tmp_path, photos, cameras):
    shaded = photos[..., :3] * (photos[..., 3:] / 255) + 246 * (1 - photos[..., 3:] / 255)
    folder = write_transforms(tmp_path, shaded.astype(np.uint8), moved(cameras, 3))
    notes = load_capture(folder).notes
    assert notes[0] == ("images without alpha whose border is of one colour, as (246, 246, 246), "
                        "which counts as background: 12")  # fmt: skip
    assert "so that it was fitted" in notes[1]
    white = write_transforms(tmp_path / "w", on_white(photos), cameras)
    assert load_capture(white).notes == ()


def test_large_files_are_looked_at_in_part(tmp_path, monkeypatch, photos):
    """The frame follows from some of the views, whichever are used later."""
    from geolrm.engine.captures import readiness

    monkeypatch.setattr(readiness, "MOST_PIXELS", 20 * 64 * 64)
    cameras = box_cameras(40)
    images = np.resize(photos[:1], (40, *photos[0].shape))
    folder = write_transforms(tmp_path, images, cameras)
    capture = read_capture(folder)
    assert looked_at(capture) == cameras.spread(24)
    assert set(cameras.spread(6)) < set(cameras.spread(12)) < set(looked_at(capture))
    assert repr(capture.images) == "LazyImages(40 images, 24 decoded)"


def test_fitting_by_some_views_moves_all(tmp_path, monkeypatch, photos, cameras):
    from geolrm.engine.captures import readiness

    monkeypatch.setattr(readiness, "looked_at", lambda capture: list(range(0, len(capture), 2)))
    capture = load_capture(write_colmap_text(tmp_path, photos, cameras))
    monkeypatch.undo()
    whole = load_capture(tmp_path)
    assert len(capture) == len(capture.cameras) == 12 and capture.names == whole.names
    np.testing.assert_allclose(capture.cameras.c2w, whole.cameras.c2w, atol=0.1)


def test_faulty_views_do_not_hinder_fitting(tmp_path, photos, cameras):
    images = photos.copy()
    images[3, ..., 3] = 0
    folder = write_transforms(tmp_path, images, moved(cameras, 3))
    capture = read_capture(folder)
    fitted = fit_where_outside(capture, faulty_views(capture))
    assert len(fitted) == 12 and "so that it was fitted" in fitted.notes[-1]


def test_poses_in_another_order_are_not_fitted(tmp_path, photos, cameras):
    """Three views may agree on something by chance; it is no object to be fitted."""
    backwards = Cameras(moved(cameras, 3).c2w[::-1].copy(), cameras.intrinsics)
    capture = read_capture(write_transforms(tmp_path, photos, backwards))
    assert "matched in reverse" in convention_warning(capture)
    assert fit_where_outside(capture) is capture


def test_lists_of_images_are_left(tmp_path, photos, cameras):
    capture = read_capture(write_transforms(tmp_path, photos, cameras))
    assert isinstance(capture.images, LazyImages) and isinstance(capture.images.reader, ImageReader)
    assert with_masks_ready(capture).notes == capture.notes


def test_missing_images_are_counted_once(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    for index in (1, 5):
        (folder / "rgb" / f"{index}.png").unlink()
    capture = load_capture(folder)
    assert len(capture) == 10
    assert capture.notes == (
        "2 of 12 listed images are missing and were left out: rgb/1.png, rgb/5.png",
    )
    np.testing.assert_array_equal(capture.cameras.c2w[1], cameras.c2w[2])


def test_a_data_set_needs_every_image(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    assert load_complete_capture(folder).names == read_capture(folder).names
    for index in (1, 5):
        (folder / "rgb" / f"{index}.png").unlink()
    with pytest.raises(InputError) as caught:
        load_complete_capture(folder)
    assert str(caught.value).endswith(
        "listed files that are missing: 2 (rgb/1.png, rgb/5.png); every frame is needed here: "
        "restore them, or remove their frames"
    )


def test_every_view_is_loaded_for_its_camera(tmp_path, photos, cameras):
    """Views whose masks show nothing keep their place, in the frame that a run uses."""
    photos = list(photos)
    photos[2] = np.zeros_like(photos[2])
    folder = write_transforms(tmp_path, photos, cameras)
    assert len(load_capture(folder)) == 11
    capture = load_every_view(folder)
    assert len(capture) == 12
    np.testing.assert_array_equal(capture.cameras.c2w, cameras.c2w)


def test_missing_masks_leave_their_frames_out_unless_all_are(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, on_white(photos), cameras)
    write_images(folder / "m", photos[..., 3])
    content = json.loads((folder / "transforms.json").read_text())
    for index, frame in enumerate(content["frames"]):
        frame["mask_path"] = f"m/{index}.png"
    (folder / "transforms.json").write_text(json.dumps(content))
    (folder / "m" / "4.png").unlink()
    capture = load_capture(folder)
    assert len(capture) == 11
    assert capture.notes == (
        "listed masks that are missing, whose frames were left out: 1 of 12 (m/4.png)",
    )
    for file in (folder / "m").iterdir():
        file.unlink()
    assert load_capture(folder).notes == (
        "none of the 12 masks that transforms.json lists is there; images were read without",
    )
    assert Image.open(folder / "rgb" / "0.png").mode == "RGB"


def test_the_shapes_of_all_views_are_listed_a_fixed_number_of_times(tmp_path, monkeypatch):
    """Once for each view would take quadratic time: a minute of 10,000 frames."""
    listed = []

    def shapes(images):
        listed.append(len(images))
        return [picture.shape for picture in images.pictures]

    monkeypatch.setattr(LazyImages, "shapes", property(shapes))
    photos = np.full((12, 8, 8, 4), 255, np.uint8)
    read_capture(write_transforms(tmp_path, photos, box_cameras(12)))
    assert len(listed) <= 4, listed
