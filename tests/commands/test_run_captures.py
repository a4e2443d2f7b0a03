"""``geolrm run`` on every kind of capture, from the files to splats."""

import json

import numpy as np
import pytest
from harness.processes import call_here
from PIL import Image
from samples.capture_files import (
    box_cameras,
    box_photos,
    on_white,
    photo_world,
    write_clip,
    write_colmap_text,
    write_gobjaverse_views,
    write_images,
    write_poses,
    write_transforms,
)
from samples.known_shapes import box_splats, photograph

from geolrm import Cameras, Gaussians, load_capture
from geolrm.engine.geometry.similarity import apply

SMALL = ("--max-tokens", "200", "--refine", "0")


def write_kind(kind, folder):
    cameras = box_cameras()
    if kind == "colmap":
        return write_colmap_text(folder, box_photos(cameras), cameras)
    if kind in ("sv3d-clip", "sv3d-frames"):
        frames = on_white(box_photos(Cameras.from_orbit("sv3d")))
        if kind == "sv3d-clip":
            pytest.importorskip("av")
            return write_clip(folder.with_suffix(".mp4"), frames)
        write_images(folder, frames)
        return folder
    if kind == "zero123plus":
        smaller = box_splats().transformed(np.diag([0.6, 0.6, 0.6, 1]))  # the tiles show 0.8 across
        tiles = on_white(photograph(smaller, Cameras.from_orbit("zero123plus"), 320))
        sheet = tiles.reshape(3, 2, 320, 320, 3).swapaxes(1, 2).reshape(960, 640, 3)
        Image.fromarray(sheet).save(folder.with_suffix(".png"))
        return folder.with_suffix(".png")
    write = {"transforms": write_transforms, "gobjaverse": write_gobjaverse_views,
             "poses": write_poses}[kind]  # fmt: skip
    return write(folder, box_photos(cameras), cameras)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("transforms", "NeRF/nerfstudio transforms: 12 views, 64 x 64 px, with alpha"),
        ("colmap", "COLMAP sparse model: 12 views, 64 x 64 px, with alpha"),
        ("gobjaverse", "GObjaverse object: 12 views, 64 x 64 px, with alpha"),
        ("poses", "images with poses.npy: 12 views, 64 x 64 px, with alpha"),
        ("sv3d-clip", "SV3D orbit: 21 views, 64 x 64 px, without alpha"),
        ("sv3d-frames", "SV3D orbit: 21 views, 64 x 64 px, without alpha"),
        ("zero123plus", "Zero123++ sheet: 6 views, 320 x 320 px, without alpha"),
    ],
)
def test_every_kind_is_told_and_reconstructed(tmp_path, kind, found):
    path = write_kind(kind, tmp_path / "capture")
    done = call_here("geolrm", "run", path, "-o", tmp_path / "a.ply", *SMALL)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == found
    notes = [f"note: {note}" for note in load_capture(path).notes]
    assert lines[1 : 1 + len(notes)] == notes
    splats = Gaussians.load(tmp_path / "a.ply")
    solid = splats.means[splats.opacities > 0.3]
    assert len(solid) > 100
    low, high = np.percentile(solid, [10, 90], axis=0)
    assert np.abs((low + high) / 2).max() < 0.2  # in the middle; six views leave it longer below
    if kind != "zero123plus":  # whose two elevations leave the height open
        assert (high - low)[2] < (high - low).max() * 0.85


def test_results_map_back_to_the_frame_of_colmap(tmp_path):
    project = write_kind("colmap", tmp_path / "project")
    reports = []
    for name, options in (("object", ()), ("world", ("--world",))):
        done = call_here("geolrm", "run", project, "-o", tmp_path / f"{name}.ply", *SMALL, *options,
                    "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    assert [report["frame"] for report in reports] == ["object", "world"]
    matrix = np.array(reports[0]["object_to_world"])
    inside, outside = (Gaussians.load(tmp_path / f"{n}.ply") for n in ("object", "world"))
    np.testing.assert_allclose(outside.means, apply(matrix, inside.means), atol=1e-4)
    middle = np.median(outside.means, axis=0)
    assert np.linalg.norm(middle - photo_world()[:3, 3]) < 0.5 * 3.7


def test_poses_with_y_up_are_told(tmp_path):
    """The object is fitted where it lies, and lies there as the poses do."""
    cameras = box_cameras()
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    for name, poses in (("z", cameras.c2w), ("y", turn @ cameras.c2w)):
        moved = poses.copy()
        moved[:, :3, 3] += [2, 1, 0]
        write_transforms(tmp_path / name, box_photos(cameras), Cameras(moved, cameras.intrinsics))
    told = [
        call_here("geolrm", "run", tmp_path / name, "-o", tmp_path / f"{name}.ply", *SMALL).stderr
        for name in ("z", "y")
    ]
    text = (
        "warning: the cameras stand upright along y, but z must be up; turn the poses by 90 "
        "degrees about x (x, y, z become x, -z, y) (the result lies as the poses do)\n"
    )
    assert text not in told[0] and text in told[1]
    assert (tmp_path / "y.ply").is_file()
