"""Every diagnostic appears when its fault is put in, and none of real captures as they are."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter
from samples.capture_files import on_white, write_colmap_text, write_gobjaverse_views, write_poses

from geolrm import Cameras, InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.diagnostics.diagnosis import diagnose
from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_views
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.geometry.similarity import turning
from geolrm.examples import CAPTURES, capture_path


@pytest.fixture(scope="module")
def clean():
    return load_capture(capture_path("shoe")).subset(range(0, 36, 2))


def diagnostics_of(capture, **changes):
    return [str(diagnostic) for diagnostic in diagnose(replace(capture, **changes)).diagnostics]


def posed(capture, c2w, intrinsics=None):
    return Cameras(c2w, capture.cameras.intrinsics if intrinsics is None else intrinsics)


def assert_only(diagnostics, *expected):
    assert len(diagnostics) == len(expected), diagnostics
    for text, pattern in zip(diagnostics, expected, strict=True):
        assert re.search(pattern, text), text


@pytest.mark.parametrize("name", sorted(path.name for path in CAPTURES.iterdir() if path.is_dir()))
def test_bundled_captures_raise_no_doubt(name):
    assert diagnostics_of(load_capture(capture_path(name))) == []


def test_kinds_with_the_object_in_the_cube_raise_no_doubt_but_their_size(tmp_path, photos, cameras):
    small = r"resolution: all 12 views have only 64 px; the model reads 224"
    for capture in (
        write_poses(tmp_path / "p", photos, cameras),
        write_gobjaverse_views(tmp_path / "g", photos, cameras),
        write_colmap_text(tmp_path / "c", photos, cameras),
    ):
        assert_only(diagnostics_of(load_capture(capture)), small)


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        (lambda c2w: c2w @ FLIP_YZ, "OpenCV camera-to-world", "negate columns 1 and 2"),
        (np.linalg.inv, "OpenGL world-to-camera", "invert the matrices$"),
        (lambda c2w: np.linalg.inv(c2w @ FLIP_YZ), "OpenCV world-to-camera", "invert .* negate"),
    ],
)
def test_poses_of_another_convention_are_named(clean, change, name, remedy):
    diagnostics = diagnostics_of(clean, cameras=posed(clean, change(clean.cameras.c2w)))
    assert_only(
        diagnostics, f"axes: all 18 views look away .* if these were {name} poses.*{remedy}"
    )


@pytest.mark.parametrize(
    ("up", "shown"),
    [([0, 1, 0], "along y.* by 90 degrees about x"), ([0, 0, -1], "along -z.* by 180 degrees"),
     ([1, 0, 0], "along x"), ([1, 1, 0], r"along \(0.707, 0.707, 0\)")],
)  # fmt: skip
def test_another_axis_that_is_up(clean, up, shown):
    turn = np.eye(4)
    axis = np.array(up) / np.linalg.norm(up)
    turn[:3, :3] = turning(np.array([0.0, 0, 1]), axis)
    if up == [0, 0, -1]:
        turn[:3, :3] = np.diag([1.0, -1, -1])
    diagnostics = diagnostics_of(clean, cameras=posed(clean, turn @ clean.cameras.c2w))
    assert_only(diagnostics, f"axes: the cameras stand upright {shown}")


def test_the_remedy_for_y_up_makes_z_up(clean):
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # x, y, z become x, -z, y
    y_up = np.linalg.inv(turn) @ clean.cameras.c2w
    assert_only(diagnostics_of(clean, cameras=posed(clean, y_up)), r"\(x, y, z become x, -z, y\)")
    assert diagnostics_of(clean, cameras=posed(clean, turn @ y_up)) == []


def moved(c2w, scale=1.0, by=(0.0, 0.0, 0.0)):
    poses = c2w.copy()
    poses[:, :3, 3] = scale * poses[:, :3, 3] + by
    return poses


@pytest.mark.parametrize(
    ("scale", "by", "expected"),
    [
        (1.5, (0, 0, 0), r"scale: by its masks .* beyond the cube \[-0.5, 0.5\]\^3, where it is"),
        (1.0, (1, 0.2, 0), r"scale: by its masks .* beyond the cube"),
        (0.4, (0, 0, 0), r"scale: by its masks .* 0.4 of the cube's side; at least 0.5 is needed"),
        (0.1, (0, 0, 0), r"scale: by its masks .* 0.1 of the cube's side"),
    ],
)
def test_scale_from_masks_and_its_remedy(clean, scale, by, expected):
    poses = moved(clean.cameras.c2w, scale, by)
    (diagnostic,) = diagnostics_of(clean, cameras=posed(clean, poses))
    assert re.search(expected, diagnostic)
    shift, factor = re.search(r"move the poses by \((.*)\), then multiply positions by (.*), or",
                              diagnostic).groups()  # fmt: skip
    poses[:, :3, 3] = (poses[:, :3, 3] + [float(v) for v in shift.split(",")]) * float(factor)
    assert diagnostics_of(clean, cameras=posed(clean, poses)) == []
    size = float(factor) * scale  # of the shoe's, which fills the cube
    assert size == pytest.approx(0.95, abs=0.03)


def test_scale_without_masks(clean):
    noise = np.random.default_rng(0).integers(0, 100, (256, 256, 3), np.uint8)
    images = [image[..., :3] // 2 + noise for image in clean.images]
    masks = (
        r"masks: all 18 views have no alpha, .* neither white nor of one colour \(border at 0.20, "
        r"and it varies\): give masks, or"
    )
    assert_only(diagnostics_of(clean, images=images), masks)
    far = posed(clean, moved(clean.cameras.c2w, 5))
    diagnostics = diagnostics_of(clean, images=images, cameras=far)
    assert_only(
        diagnostics, "scale: images show 8.32 cube sides .* multiply .* by about 0.18", masks
    )
    aside = posed(clean, moved(clean.cameras.c2w, 1, (0, 0, 0.5)))
    diagnostics = diagnostics_of(clean, images=images, cameras=aside)
    assert_only(diagnostics, r"scale: the cameras look at \(.*, 0.5\), 0.5 from the origin", masks)


def test_missing_masks(clean):
    opaque = [np.dstack([i[..., :3], np.full(i.shape[:2], 255, np.uint8)]) for i in clean.images]
    assert_only(
        diagnostics_of(clean, images=opaque),
        "masks: all 18 views have an alpha that is opaque every",
    )
    white = [on_white(image) for image in clean.images]
    assert diagnostics_of(clean, images=white) == []
    half = changed(white, 6, lambda image: np.where(np.arange(256)[:, None] < 128, 255, image))
    half[6] = half[6].astype(np.uint8)
    assert_only(
        diagnostics_of(clean, images=half), "masks: the outlines on the white background do"
    )
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    white[3] = np.where(clean.images[3][..., 3:] == 0, noise, white[3]).astype(np.uint8)
    assert_only(diagnostics_of(clean, images=white), "masks: view 3 has no alpha, and a background")


def changed(images, index, change):
    images = list(images)
    images[index] = change(images[index])
    return images


def scaled_colors(red, green=None, blue=None):
    factors = [red, green or red, blue or red, 1]
    return lambda image: np.rint(image * factors).astype(np.uint8)


def blurred(image):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (scaled_colors(0.5), r"exposure: view 4 differs .* by up to 2.2 stops \(darker"),
        (scaled_colors(1, 0.9, 0.7), "white balance: view 4 differs in colour .* by red"),
        (blurred, "sharpness: view 4 is blurred: down to .*%"),
        (lambda image: image * np.array([1, 1, 1, 0], np.uint8), "masks: view 4 shows no object"),
        (lambda image: image[130:, :], "masks: the object is cut by the border of view 4"),
    ],
)
def test_one_image_that_is_unlike_the_others(clean, change, expected):
    diagnosis = diagnose(replace(clean, images=changed(clean.images, 4, change)))
    (first,) = [each for each in diagnosis.diagnostics if re.search(expected, str(each))]
    assert first.views == (4,) and 4 in diagnosis.doubtful_views


def test_poses_that_repeat_or_belong_to_other_images(clean):
    poses = clean.cameras.c2w.copy()
    poses[3] = poses[2]
    diagnostics = diagnostics_of(clean, cameras=posed(clean, poses))
    assert_only(diagnostics, "poses: views 2 and 3 have the same pose; each image needs its own")
    poses = clean.cameras.c2w[::-1]
    assert (
        "the masks agree on no object, and would if poses and images were matched in reverse: put"
        in diagnostics_of(clean, cameras=posed(clean, poses))[0]
    )
    poses = clean.cameras.c2w[np.random.default_rng(0).permutation(18)]
    assert (
        "show an object where the other masks leave nothing"
        in diagnostics_of(clean, cameras=posed(clean, poses))[0]
    )


def test_one_camera_looks_away(clean):
    poses = clean.cameras.c2w.copy()
    poses[5] = poses[5] @ FLIP_YZ
    diagnosis = diagnose(replace(clean, cameras=posed(clean, poses)))
    assert diagnosis.doubtful_views == {5}
    assert_only(map(str, diagnosis.diagnostics) and [str(d) for d in diagnosis.diagnostics],
                "looking away: view 5 looks away from the cube")  # fmt: skip


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ([0], "coverage: there is 1 view; at least 4"),
        ([0, 6, 12], "coverage: there are 3 views; at least 4 from all around are needed"),
        ([0, 1, 2, 3, 4], r"coverage: no camera looks from azimuths between 120 and 0 .* of 240"),
    ],
)
def test_too_few_views_or_all_from_one_side(clean, views, expected):
    assert_only(diagnostics_of(clean.subset(views)), expected)


def test_fields_of_view_far_from_the_models(clean):
    intrinsics = clean.cameras.intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= 0.4
    diagnostics = diagnostics_of(clean, cameras=posed(clean, clean.cameras.c2w, intrinsics))
    assert diagnostics[0].startswith(
        "field of view: all 18 views have a field of view of 98.8 degrees, far from the model's 50"
    )
    assert any(diagnostic.startswith("scale: ") for diagnostic in diagnostics)


def test_intrinsics_in_pixels_are_refused_when_read(tmp_path, photos, cameras):
    folder = write_poses(tmp_path, photos, cameras)
    np.save(folder / "intrinsics.npy", cameras.intrinsics * [[64], [64], [1]])
    with pytest.raises(InputError, match="look like pixels; divide the first row"):
        read_capture(folder)


def test_names_of_views():
    assert name_views([3], 9) == "view 3"
    assert name_views([3, 5, 8], 9) == "views 3, 5 and 8"
    assert name_views(range(9), 9) == "all 9 views"
    assert name_views(range(12), 40) == "views 0, 1, 2, 3, 4, 5, 6, 7 and 4 more"
    assert str(Diagnostic("axes", "text")) == "axes: text"
