"""``geolrm mesh``: what it writes, and what it refuses before it reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from harness.processes import assert_refused, call_here
from samples.gaussians import random_gaussians
from samples.known_shapes import box_splats

pytest.importorskip("skimage")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def box():
    box_splats().save("box.ply")


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
        ("a.stl", [], "'a.stl' is no mesh file; the file name must end in .glb, .ply, .obj"),
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
