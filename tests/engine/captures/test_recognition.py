"""What a path holds is seen from its files; what is unclear is refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import (
    on_white,
    write_clip,
    write_colmap_text,
    write_gobjaverse_views,
    write_images,
    write_llff,
    write_poses,
    write_predictions,
    write_transforms,
)

from geolrm import Cameras, InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.capture import TITLES


@pytest.fixture
def every_kind(tmp_path, photos, cameras):
    sheet = np.random.default_rng(0).integers(0, 255, (960, 640, 3), np.uint8)
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    return {
        "transforms": write_transforms(tmp_path / "t", photos, cameras),
        "colmap": write_colmap_text(tmp_path / "c", photos, cameras),
        "gobjaverse": write_gobjaverse_views(tmp_path / "g", photos, cameras),
        "poses": write_poses(tmp_path / "p", photos, cameras),
        "llff": write_llff(tmp_path / "l", photos, cameras),
        "predictions": write_predictions(tmp_path / "n", photos, cameras),
        "sv3d": tmp_path / "s",
        "zero123plus": tmp_path / "sheet.png",
    }


def test_every_kind_is_recognised_and_told(every_kind, photos):
    write_images(every_kind["sv3d"], np.resize(photos, (21, *photos[0].shape)))
    assert set(every_kind) == set(TITLES)
    for kind, path in every_kind.items():
        capture = load_capture(path)
        assert capture.kind == kind and capture.path == path
        assert TITLES[kind] in repr(capture) and str(path) in repr(capture)
        assert capture.found.startswith(f"{TITLES[kind]}: {len(capture)} views, ")
        assert len(capture.names) == len(capture.images) == len(capture.cameras)
        part = capture.subset([2, 0])
        assert part.kind == kind and part.notes == capture.notes
        np.testing.assert_array_equal(part.object_to_world, capture.object_to_world)


def test_the_line_about_images(tmp_path, photos, cameras):
    assert load_capture(write_transforms(tmp_path / "a", photos, cameras)).found == (
        "NeRF/nerfstudio transforms: 12 views, 64 x 64 px, with alpha"
    )
    mixed = [photos[0], *on_white(photos[1:4])]
    mixed[1] = mixed[1][:, :32]
    folder = write_transforms(tmp_path / "b", mixed, cameras[:4])
    assert load_capture(folder).found == (
        "NeRF/nerfstudio transforms: 4 views, different sizes, 1 with alpha"
    )
    folder = write_transforms(tmp_path / "c", on_white(photos), cameras)
    assert load_capture(folder).found.endswith("64 x 64 px, without alpha")


def test_two_kinds_in_one_folder_are_told_apart_by_the_user(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path / "a", photos, cameras)
    write_poses(folder, photos[:5], cameras[:5])
    with pytest.raises(InputError, match=r"holds more than one capture; give the one .*poses.npy"):
        load_capture(folder)
    assert load_capture(folder / "transforms.json").kind == "transforms"
    assert load_capture(folder / "poses.npy").kind == "poses"
    write_colmap_text(folder, photos, cameras)
    (folder / "poses.npy").unlink()
    with pytest.raises(InputError, match=r"transforms.json or .*sparse/0"):
        load_capture(folder)
    assert load_capture(folder / "sparse" / "0").kind == "colmap"


def test_what_nerfstudio_made_transforms_from_is_no_second_capture(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path / "a", photos, cameras)
    write_colmap_text(folder / "colmap", photos, cameras)
    capture = load_capture(folder)
    assert capture.kind == "transforms"
    assert capture.notes == ("transforms.json was read, colmap/sparse/0 that it is from not",)
    assert load_capture(folder / "colmap" / "sparse").kind == "colmap"


def test_files_that_macos_leaves_are_no_images(tmp_path, photos, cameras):
    folder = write_poses(tmp_path / "a", photos, cameras)
    (folder / "._0.png").write_bytes(b"Mac OS X")
    assert len(load_capture(folder)) == 12


def test_a_device_is_no_capture():
    with pytest.raises(InputError, match="'/dev/null' is neither a file nor a folder; give a"):
        load_capture("/dev/null")


def test_links_and_odd_names_are_followed(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path / "ünï 漢字 [1]", photos, cameras)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "loop").symlink_to("loop")
    assert load_capture(tmp_path / "link").names == load_capture(folder).names
    with pytest.raises(InputError, match="loop' is no capture .there is no such path."):
        load_capture(tmp_path / "loop")


def test_the_training_part_of_a_nerf_data_set_is_read(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path / "a", photos, cameras, "transforms_test.json")
    assert load_capture(folder).source == folder / "transforms_test.json"
    write_transforms(folder, photos, cameras, "transforms_val.json")
    with pytest.raises(InputError, match=r"holds transforms_test.json, transforms_val.json; give"):
        load_capture(folder)
    write_transforms(folder, photos[:5], cameras[:5], "transforms_train.json")
    capture = load_capture(folder)
    assert len(capture) == 5
    assert capture.notes == (
        "transforms_train.json was read, transforms_test.json, transforms_val.json not",
    )


def test_images_alone_are_refused(tmp_path, photos):
    write_images(tmp_path, photos)
    with pytest.raises(InputError, match="holds 12 images without poses; give transforms.json"):
        load_capture(tmp_path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("{}")
    with pytest.raises(InputError, match=r"a.txt' is no capture; give a folder that holds"):
        load_capture(tmp_path / "a.txt")


def test_reading_for_diagnosis_takes_cameras_that_look_away(tmp_path, photos, cameras):
    flipped = Cameras(cameras.c2w @ np.diag([1.0, -1, -1, 1]), cameras.intrinsics)
    folder = write_transforms(tmp_path / "a", photos, flipped)
    assert len(read_capture(folder)) == 12
    with pytest.raises(InputError, match="transforms.json: pose 0 looks away .* OpenCV"):
        load_capture(folder)


def test_a_note_says_which_file_of_many(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path / "a", photos, cameras)
    shutil.copy(folder / "transforms.json", folder / "transforms_old.json")
    assert load_capture(folder).notes == ("transforms.json was read, transforms_old.json not",)
    assert json.loads((folder / "transforms_old.json").read_text())["frames"]


def test_a_clip_is_recognised_by_its_suffix(tmp_path, photos):
    pytest.importorskip("av")
    frames = on_white(np.resize(photos, (21, *photos[0].shape)))
    assert load_capture(write_clip(tmp_path / "orbit.mp4", frames)).kind == "sv3d"
