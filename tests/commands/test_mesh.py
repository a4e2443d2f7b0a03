"""``geolrm mesh``: what it writes, and what it refuses before it reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from harness.processes import assert_refused, call_here
from samples.gaussians import random_gaussians
from samples.known_shapes import HALF_SIDES, box_splats, write_capture

from geolrm.engine.geometry.similarity import make_similarity

pytest.importorskip("skimage")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def box():
    box_splats().save("box.ply")


CAPTURE = ["--capture", "none"]


def names():
    return sorted(path.name for path in Path().iterdir())


def mesh(*arguments):
    return call_here("geolrm", "mesh", *arguments)


def test_it_says_what_it_wrote(box):
    done = mesh("box.ply", "-o", "box.glb", "--size", 32, "--views", 12, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" triangles of 12,000 Gaussians -> box.glb\n")
    assert done.stderr == "reading ...\nfusing ...\n"
    finer = mesh("box.ply", "-o", "fine.glb", "--size", 48, "--views", 12, "--json")
    assert finer.stderr == ""
    report = json.loads(finer.stdout)
    assert report["triangles"] > 1.5 * int(done.stdout.split()[2].replace(",", ""))
    assert report["bytes"] == Path("fine.glb").stat().st_size
    assert names() == ["box.glb", "box.ply", "fine.glb"]


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("a.txt", [], "'a.txt' is no mesh file; the file name must end in .glb, .ply, .obj, .stl"),
        (
            "a.stl",
            CAPTURE,
            "'a.stl' cannot hold a texture; name a file of .glb, .obj",
        ),
        (
            "a.ply",
            CAPTURE,
            "'a.ply' cannot hold a texture; name a file of .glb, .obj",
        ),
        (
            "a.glb",
            [*CAPTURE, "--texture-size", "63"],
            "--texture-size is 63; it must be 64",
        ),
        ("a.glb", ["--texture-size", "512"], "--texture-size was given without --capture"),
        ("a.glb", ["--world"], "--world was given without --capture"),
        ("a.glb", ["--faces", "99"], "--faces is 99; it must be 100 to 2,000,000 triangles"),
        ("folder.glb", [], "output 'folder.glb' is a folder; name a file in it: .glb, .ply, .obj"),
        ("file/a.glb", [], "cannot write 'file/a.glb': 'file' is not a folder"),
        ("a.glb", ["--size", "15"], "size is 15; it must be 16 to 512 voxels"),
        ("a.glb", ["--views", "3"], "views is 3; it must be 4 to 1000"),
        ("a.glb", ["--threads", "0"], "--threads is 0; it must be at least 1"),
    ],
)
def test_options_and_output_are_checked_before_anything_is_read(output, options, message):
    Path("folder.glb").mkdir()
    Path("file").write_text("")
    assert_refused(mesh("none.ply", "-o", output, *options), message)
    assert names() == ["file", "folder.glb"]


def test_inputs_that_cannot_be_read():
    assert_refused(mesh("none.ply", "-o", "a.glb"), "cannot read 'none.ply': No such file")
    assert_refused(mesh("none.obj", "-o", "a.glb"), "'none.obj' names no splat format")
    assert names() == []


def test_splats_are_not_replaced_by_their_mesh():
    box_splats().save("box.glb")
    content = Path("box.glb").read_bytes()
    done = mesh("box.glb", "-o", "box.glb")
    assert_refused(done, "output 'box.glb' is the input file itself; name another")
    assert Path("box.glb").read_bytes() == content


def test_nothing_to_mesh(box):
    scene = random_gaussians()
    scene.select(np.zeros(0, int)).save("empty.ply")
    done = mesh("empty.ply", "-o", "a.glb")
    assert_refused(done, "'empty.ply' holds no Gaussians, and so no mesh was written", code=1)
    scene.opacities[:] = 0.01
    scene.save("faint.ply")
    done = mesh("faint.ply", "-o", "a.glb")
    assert_refused(done, "'faint.ply' shows no opaque surface, and so no mesh was", code=1)
    assert not Path("a.glb").exists()


def test_without_the_extra_nothing_is_read(monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    done = mesh("none.ply", "-o", "a.glb")
    assert_refused(done, "a mesh needs scikit-image, which is not installed; run: pip", code=1)


@pytest.mark.parametrize(
    ("package", "options", "message"),
    [
        ("xatlas", ["--capture", "none"], "a texture needs xatlas, which is not installed; run:"),
        ("fast-simplification", ["--faces", 200], "decimation needs fast-simplification, which is"),
        ("usd-core", [], "a .usdc file needs usd-core, which is not installed; run: pip install"),
    ],
)
def test_each_package_is_asked_for_before_anything_is_read(monkeypatch, package, options, message):
    import importlib.metadata

    def version(name, found=importlib.metadata.version):
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    output = "a.usdc" if package == "usd-core" else "a.glb"
    assert_refused(mesh("none.ply", "-o", output, *options), message, code=1)


def test_faces_without_a_capture(box):
    done = mesh("box.ply", "-o", "a.stl", "--size", 24, "--views", 6, "--faces", 300, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert 200 < report["triangles"] <= 300
    assert report["bytes"] == 84 + 50 * report["triangles"] == Path("a.stl").stat().st_size
    assert "texture" not in report


@pytest.fixture
def capture():
    """A capture of the box, and its splats moved to the frame of the capture's poses."""
    splats = box_splats()
    write_capture(Path("capture"), splats, splats.means)
    return splats


SMALL = ["--size", 24, "--views", 6, "--faces", 500, "--texture-size", 128, "--threads", 1]


def test_a_texture_from_a_capture(box, capture):
    done = mesh("box.ply", "--capture", "capture", "-o", "my box.obj", *SMALL)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.endswith(" triangles of 12,000 Gaussians -> my box.obj")
    assert second == ("a texture of 128 x 128 px from 38 photographs, my_box.mtl, "
                      "my_box_texture.png")  # fmt: skip
    assert names() == ["box.ply", "capture", "my box.obj", "my_box.mtl", "my_box_texture.png"]
    assert done.stderr.splitlines() == [
        "reading ...", "fusing ...", "unwrapping ...", "looking at the photographs ...",
        "fitting the surface ...", "blending ...", "filling holes ...", "writing ...",
    ]  # fmt: skip
    again = mesh("box.ply", "--capture", "capture", "-o", "a.usdz", *SMALL, "--json")
    report = json.loads(again.stdout)
    assert again.stderr == "" and report["beside"] == []
    assert (report["texture"], report["photographs"], report["capture"]) == (128, 38, "capture")


def test_splats_in_the_frame_of_the_poses(capture):
    """As `run --world` writes them: the mesh is there too, and has the same texture."""
    content = json.loads(Path("capture/transforms.json").read_text())
    for frame in content["frames"]:  # all of it four times as large, and elsewhere
        pose = np.array(frame["transform_matrix"])
        pose[:3, 3] = 4 * pose[:3, 3] + (5, 0, 1)
        frame["transform_matrix"] = pose.tolist()
    Path("capture/transforms.json").write_text(json.dumps(content))
    move = np.diag([4.0, 4, 4, 1])
    move[:3, 3] = (5, 0, 1)
    capture.transformed(move).save("world.ply")
    done = mesh("world.ply", "--capture", "capture", "--world", "-o", "a.glb", *SMALL)
    assert done.returncode == 0, done.stderr
    trimesh = pytest.importorskip("trimesh")
    low, high = trimesh.load("a.glb", force="mesh").bounds
    np.testing.assert_allclose((low + high) / 2, [5, 1, 0], atol=0.2)  # y up
    np.testing.assert_allclose(high - low, 8 * HALF_SIDES[[0, 2, 1]], atol=0.7)


def test_splats_of_another_place_have_no_texture(capture):
    capture.transformed(make_similarity(1.0, np.eye(3), np.array([40.0, 0, 0]))).save("far.ply")
    done = mesh("far.ply", "--capture", "capture", "-o", "a.glb", *SMALL)
    assert_refused(done, "no photograph sees the mesh, and so it has no texture", code=1)
    assert_refused(mesh("far.ply", "--capture", "none", "-o", "a.glb"), "'none' is no capture")
    assert names() == ["capture", "far.ply"]
