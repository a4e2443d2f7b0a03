"""Captures whose object lies anywhere are fitted to the cube on request, by their masks."""

import json

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import on_white, write_colmap_text, write_poses, write_transforms
from samples.known_shapes import box_splats

from geolrm import Cameras, InputError, load_capture
from geolrm.engine.captures import background, read_capture
from geolrm.engine.captures.diagnostics.diagnosis import diagnose
from geolrm.engine.captures.fitting import FILL
from geolrm.engine.geometry.similarity import make_similarity, move_poses

ELSEWHERE = make_similarity(4.0, np.eye(3), np.array([10.0, 5.0, -3.0]))


@pytest.fixture
def elsewhere(tmp_path, photos, cameras):
    moved = Cameras(move_poses(cameras.c2w, ELSEWHERE), cameras.intrinsics)
    return write_transforms(tmp_path / "moved", photos, moved)


def box_in(capture, world):
    return box_splats().transformed(np.linalg.inv(capture.object_to_world) @ world).means


def test_an_object_elsewhere_is_refused_with_the_way_out(elsewhere):
    with pytest.raises(InputError, match=r"out of view; .* geolrm check; an object .*: --fit"):
        load_capture(elsewhere, fit=False)
    (first, *_) = diagnose(read_capture(elsewhere)).diagnostics
    assert first.topic == "scale"
    assert "move the poses by (-10, -5, 3.15), then" in first.text and "--fit" in first.text


def test_cameras_that_look_at_one_place_elsewhere_tell_where(elsewhere, photos):
    """Without masks, most views look away; no other convention of axes explains it."""
    capture = read_capture(elsewhere)
    noise = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    images = [image[..., :3] // 2 + noise for image in capture.images]
    from dataclasses import replace

    (first, *_) = diagnose(replace(capture, images=images)).diagnostics
    assert str(first).startswith("scale: the cameras look at (10, 5, -3), 11.6 from the origin")


def test_fitted_by_masks(elsewhere):
    capture = load_capture(elsewhere, fit=True)
    means = box_in(capture, ELSEWHERE)
    assert np.abs(means.min(axis=0) + means.max(axis=0)).max() < 0.08
    assert 0.75 < np.ptp(means, axis=0).max() < FILL
    np.testing.assert_allclose(capture.object_to_world[:3, :3] / capture.object_to_world[0, 0],
                               np.eye(3), atol=1e-12)  # fmt: skip
    assert capture.points is None
    assert capture.notes[-1].startswith("the object was centred from (10, 5, -3.")


def test_every_kind_can_be_fitted(tmp_path, photos, cameras):
    capture = load_capture(write_poses(tmp_path, photos, cameras), fit=True)
    assert capture.kind == "poses" and capture.notes[-1].endswith("from what the masks agree on")


def test_without_masks_there_is_nothing_to_fit_by(elsewhere, photos):
    noise = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    for index, image in enumerate(on_white(photos) // 2 + noise):
        Image.fromarray(image).save(elsewhere / "rgb" / f"{index}.png")
    with pytest.raises(InputError, match=r"has no points, and its masks do not tell where the obj"):
        load_capture(elsewhere, fit=True)


class Cutter:
    """Finds the coloured box on grey, but for some images, counted as they come."""

    def __init__(self, **wrong):
        self.wrong, self.seen = {int(key[1:]): value for key, value in wrong.items()}, -1

    def predict(self, img):
        self.seen += 1
        colors = np.asarray(img).astype(int)
        mask = np.uint8(255 * (np.ptp(colors, axis=2) > 30))
        wrong = self.wrong.get(self.seen)
        return [Image.fromarray(mask if wrong is None else np.uint8(wrong(mask)))]


def on_grey(photos):
    alpha = photos[..., 3:] / 255
    return np.rint(photos[..., :3] * alpha + 128 * (1 - alpha)).astype(np.uint8)


@pytest.fixture
def on_table(tmp_path, photos, cameras):
    """A model whose points do not tell the box from a table of twice its size."""
    folder = write_colmap_text(tmp_path, on_grey(photos), cameras, background=0)
    from samples.capture_files import photo_world

    file = folder / "sparse" / "0" / "points3D.txt"
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-1, 1, (2000, 2)), np.full(2000, -0.2)])
    from geolrm.engine.geometry.similarity import apply

    lines = [f"{i} {x} {y} {z} 1 2 3 0.5" for i, (x, y, z) in
             enumerate(apply(photo_world(), table))]  # fmt: skip
    file.write_text(file.read_text() + "\n".join(lines) + "\n")
    return folder


def longest_side(capture):
    from samples.capture_files import photo_world

    return np.ptp(box_in(capture, photo_world()), axis=0).max()


def test_removed_backgrounds_tell_the_object_from_its_table(on_table, monkeypatch):
    assert longest_side(load_capture(on_table)) == pytest.approx(FILL, abs=0.05)  # of one colour
    monkeypatch.setattr(background, "load_segmenter", Cutter)
    capture = load_capture(on_table, remove_background=True)
    assert longest_side(capture) == pytest.approx(FILL, abs=0.05)
    assert capture.notes[0] == "rembg removed the background of 12 images"
    assert capture.notes[-1].endswith("from the points inside all masks")


def half(mask):
    """One that misses half of the object."""
    columns = np.flatnonzero(mask.any(axis=0))
    mask = mask.copy()
    mask[:, int(columns.mean()) :] = 0
    return mask


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"i5": half}, "the points inside all masks but, at any place, 1"),
        ({"i5": half, "i2": half}, "the points inside all masks but, at any place, 1"),
        ({"i5": np.zeros_like, "i0": lambda m: m * 0 + 255}, "the points inside all masks"),
    ],
)
def test_a_few_wrong_masks_do_not_cut_the_object(on_table, monkeypatch, wrong, said):
    monkeypatch.setattr(background, "load_segmenter", lambda: Cutter(**wrong))
    capture = load_capture(on_table, remove_background=True)
    assert any(note.endswith(said) for note in capture.notes), capture.notes
    assert longest_side(capture) == pytest.approx(FILL, abs=0.1)


def test_an_end_with_few_points_is_kept(tmp_path, photos, cameras):
    """Features are rare on a smooth top: 40 of 5,000 points lie on the uppermost third."""
    from samples.capture_files import photo_world

    from geolrm.engine.geometry.similarity import apply

    folder = write_colmap_text(tmp_path, photos, cameras, background=0)
    low, high = box_splats().means.min(axis=0), box_splats().means.max(axis=0)
    below, above = low.copy(), high.copy()
    above[2] -= (high - low)[2] / 3
    below[2] = above[2]
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(low, above, (5000, 3)), rng.uniform(below, high, (40, 3))])
    lines = [f"{i} {x} {y} {z} 1 2 3 0.5" for i, (x, y, z) in
             enumerate(apply(photo_world(), points))]  # fmt: skip
    (folder / "sparse" / "0" / "points3D.txt").write_text("\n".join(lines) + "\n")
    capture = load_capture(folder)
    assert capture.notes[-1].endswith("from the points inside all masks")
    means = box_in(capture, photo_world())
    assert abs(means[:, 2].min() + means[:, 2].max()) < 0.1 * np.ptp(means[:, 2])


def test_few_masks_leave_it_to_the_points(tmp_path, photos, cameras):
    noise = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    images = [*photos[:6], *(on_grey(photos[6:]) // 2 + noise)]
    capture = load_capture(write_colmap_text(tmp_path, images, cameras))
    assert "only 6 of 12 images have a mask" in capture.notes
    assert capture.notes[-1].endswith("from the points")


def test_the_object_frame_of_a_splat_file_is_the_fitted_one(elsewhere, tmp_path):
    """What geolrm render --cameras takes is the frame of geolrm run, with the same options."""
    from geolrm.commands.render import render

    capture = load_capture(elsewhere, fit=True)
    box_splats().transformed(np.linalg.inv(capture.object_to_world) @ ELSEWHERE).save(
        tmp_path / "box.ply"
    )
    render(tmp_path / "box.ply", tmp_path / "frames", cameras=elsewhere, size=64, fit=True)
    with Image.open(sorted((tmp_path / "frames").iterdir())[3]) as drawn:
        difference = np.asarray(drawn).astype(int) - on_white(np.stack(capture.images))[3]
    assert np.abs(difference).mean() < 3


def test_other_models_of_a_reconstruction_are_told(tmp_path, photos, cameras):
    import shutil

    folder = write_colmap_text(tmp_path, photos, cameras)
    for name in ("1", "10", "2"):
        shutil.copytree(folder / "sparse" / "0", folder / "sparse" / name)
    (folder / "sparse" / "3").mkdir()
    note = f"0 of {folder / 'sparse'} was read, its other models (1, 2, 10) were not"
    assert load_capture(folder).notes[0] == note
    assert load_capture(folder / "sparse" / "2").notes[0].startswith("2 of ")


@pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "SIMPLE_FISHEYE"])
def test_a_fisheye_lens_distorts_without_parameters_too(tmp_path, photos, cameras, model):
    pytest.importorskip("pycolmap")
    zeros = {"OPENCV_FISHEYE": 4, "SIMPLE_RADIAL_FISHEYE": 1, "SIMPLE_FISHEYE": 0}[model]
    folder = write_colmap_text(tmp_path, photos, cameras, model=model, distortion=[0.0] * zeros)
    assert "images whose lens distortion was removed: 12" in load_capture(folder).notes


def test_json_of_a_fitted_capture_tells_the_way_back(elsewhere):
    content = json.loads((elsewhere / "transforms.json").read_text())
    capture = load_capture(elsewhere, fit=True)
    world = move_poses(capture.cameras.c2w, capture.object_to_world)
    np.testing.assert_allclose(world[4], content["frames"][4]["transform_matrix"], atol=1e-9)
