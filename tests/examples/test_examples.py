"""Every numbered example as a user runs it: in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness.served import serving
from PIL import Image
from samples.small_captures import write_captures
from samples.textured_box import orbit, write_photographs

from geolrm import Gaussians
from geolrm.examples import CAPTURES

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in FOLDER.glob("[0-9][0-9]_*.py"))


def run(name, folder, *options):
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), *map(str, options)],
        capture_output=True, text=True, cwd=folder, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def splats(tmp_path_factory):
    """What the first example writes."""
    folder = tmp_path_factory.mktemp("examples")
    told = run("01_reconstruct.py", folder, "--views", 3)
    path = folder / "out" / "reconstruction.ply"
    count = int(
        re.search(r"([\d,]+) Gaussians -> out/reconstruction.ply", told)[1].replace(",", "")
    )
    assert len(Gaussians.load(path)) == count > 1000
    assert "reconstruct " in told and "total " in told
    return path


def shape_of(path):
    """Extent [3] of what is opaque."""
    scene = Gaussians.load(path)
    means = scene.means[scene.opacities > 0.5]
    return np.quantile(means, 0.98, axis=0) - np.quantile(means, 0.02, axis=0)


def test_own_photos_with_colmap(tmp_path, splats):
    told = run("02_own_photos_with_colmap.py", tmp_path, "--views", 4)
    assert "note: the object was centred from (4" in told
    here = Gaussians.load(tmp_path / "out" / "photos.ply")
    there = Gaussians.load(tmp_path / "out" / "photos_in_world.ply")
    assert len(here) == len(there) > 1000
    # COLMAP's frame is the shoe's own, three times as large, about (4, -2, 1).
    middle = np.median(there.means, axis=0)
    np.testing.assert_allclose(middle, [4, -2, 1], atol=0.4)
    sizes = shape_of(tmp_path / "out" / "photos_in_world.ply")
    np.testing.assert_allclose(sizes / 3, shape_of(splats), atol=0.12)


def test_sv3d_clip(tmp_path, splats):
    told = run("03_sv3d_clip.py", tmp_path, "--views", 4)
    assert told.startswith("sv3d, 21 frames; cameras of SV3D are assumed")
    np.testing.assert_allclose(shape_of(tmp_path / "out" / "sv3d.ply"), shape_of(splats), atol=0.15)


def test_live_capture(tmp_path):
    told = run("04_live_capture.py", tmp_path, "--views", 2)
    assert [line.split(":")[0] for line in told.splitlines()] == [
        "1 views",
        "2 views",
        "-> out/live",
    ]
    names = sorted(path.name for path in (tmp_path / "out" / "live").iterdir())
    assert names == ["after_1_views.ply", "after_2_views.ply"]


def test_render_an_orbit(tmp_path, splats):
    run("05_render_an_orbit.py", tmp_path, splats, "--frames", 3, "--size", 96)
    names = sorted((tmp_path / "out" / "orbit").iterdir())
    assert [path.name for path in names] == ["000.png", "001.png", "002.png"]
    frames = [np.asarray(Image.open(path)).astype(int) for path in names]
    assert all(frame.shape == (96, 96, 3) for frame in frames)
    assert all(0.02 < (frame.min(axis=-1) < 200).mean() < 0.6 for frame in frames)
    assert np.abs(frames[0] - frames[1]).mean() > 1


def test_convert(tmp_path, splats):
    told = run("06_convert.py", tmp_path, splats, "--max-splats", 500)
    assert told.startswith("500 of ")
    names = sorted(path.name for path in (tmp_path / "out" / "formats").iterdir())
    assert names == [
        "scene.glb", "scene.ply", "scene.splat", "scene.spz", "scene_raw.ply", "scene_y_up.ply",
    ]  # fmt: skip
    kept = Gaussians.load(tmp_path / "out" / "formats" / "scene.ply")
    for name in names:
        read = Gaussians.load(tmp_path / "out" / "formats" / name)
        np.testing.assert_allclose(read.means, kept.means, atol=2e-4)
        assert name in told


def test_mesh(tmp_path, splats):
    pytest.importorskip("skimage")
    told = run("07_mesh.py", tmp_path, splats, "--size", 48)
    assert re.match(r"Mesh\([\d,]+ vertices, [\d,]+ triangles\)", told)
    assert (tmp_path / "out" / "mesh.glb").read_bytes()[:4] == b"glTF"


def test_view(tmp_path, splats):
    run("08_view.py", tmp_path, splats, "--capture", CAPTURES / "shoe")
    page = (tmp_path / "out" / "view.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "rgb/000.png" in page


def test_photographs_to_splats(tmp_path):
    write_photographs(tmp_path / "photos", orbit(6, degrees=75), alpha=True)
    told = run("09_photos_to_splats.py", tmp_path, "photos", "-o", "out/a.ply", "--views", 3)
    assert "6 of 6 photographs are posed -> out/a.capture" in told
    assert len(Gaussians.load(tmp_path / "out" / "a.ply")) > 500


def test_batch(tmp_path):
    captures = write_captures(tmp_path / "captures", "ab")
    for done, kept in ((2, 0), (0, 2)):
        told = run("10_batch.py", tmp_path, captures, "-o", "out/batch", "--views", 2)
        assert f"{done} done, {kept} before -> out/batch/index.html" in told
        assert re.search(r"the worst is [ab]: \d+\.\d dB over its 2 views", told)


def test_client(tmp_path, engine):
    write_captures(tmp_path / "captures", "a")
    with serving(engine) as address:
        told = run("11_client.py", tmp_path, "captures/a", "a.spz", "--server", address)
    assert told.splitlines()[0] == "unpack ..." and "refine ..." in told
    count = int(re.search(r"([\d,]+) Gaussians in .* s -> a.spz", told)[1].replace(",", ""))
    assert len(Gaussians.load(tmp_path / "a.spz")) == count > 0


def test_every_example_is_listed_and_tested():
    tested = Path(__file__).read_text(encoding="utf-8")
    listing = (FOLDER / "README.md").read_text(encoding="utf-8")
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) >= 8
    for name in SCRIPTS:
        assert f'run("{name}"' in tested
        assert f"[{name}]({name})" in listing
        assert f"examples/{name}" in readme
        assert (FOLDER / name).read_text(encoding="utf-8").startswith('"""')
