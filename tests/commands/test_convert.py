"""``geolrm convert``: each option, what it refuses before it reads, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from harness.processes import assert_refused, call, call_here
from samples.gaussians import COUNT, random_gaussians
from samples.splat_files import element, ply_file, splat_rows

from geolrm import Gaussians

SUFFIXES = (".ply", ".spz", ".splat", ".glb")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scene():
    scene = random_gaussians()
    scene.save("a.ply")
    return scene


def convert(*arguments):
    done = call_here("geolrm", "convert", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def names():
    return sorted(path.name for path in Path().iterdir())


def test_it_says_what_it_did(scene):
    done = convert("a.ply", "b.spz")
    assert done.stdout == f"50 Gaussians, {Path('b.spz').stat().st_size:,} bytes -> b.spz\n"
    assert done.stderr == "reading ...\nwriting ...\n"
    done = convert("a.ply", "b.ply", "--max-splats", 1)
    assert done.stdout == f"1 of 50 Gaussians, {Path('b.ply').stat().st_size:,} bytes -> b.ply\n"
    assert names() == ["a.ply", "b.ply", "b.spz"]


def test_json(scene):
    done = convert("a.ply", "b.spz", "--prune-opacity", 0.5, "--max-splats", 10, "--json")
    assert done.stderr == ""
    opaque = int((scene.opacities >= 0.5).sum())
    assert json.loads(done.stdout) == {
        "input": "a.ply", "output": "b.spz", "read": COUNT, "not_finite": 0,
        "pruned": COUNT - opaque, "beyond_max_splats": opaque - 10, "written": 10,
        "bytes": Path("b.spz").stat().st_size,
    }  # fmt: skip


def test_splats_that_are_not_finite_are_counted(scene):
    rows = splat_rows(scene)
    rows["x"][[3, 9]] = np.nan
    Path("nan.ply").write_bytes(ply_file(element("vertex", rows)))
    done = convert("nan.ply", "b.splat")
    assert done.stdout == "48 of 50 Gaussians, 1,536 bytes -> b.splat\n"
    assert done.stderr.splitlines()[1] == (
        "warning: 'nan.ply': left out 2 of 50 splats, which are not finite or beyond 1e+18; "
        "splat 3 has a position of nan"
    )
    done = convert("nan.ply", "b.splat", "--json", "--max-splats", 40)
    summary = json.loads(done.stdout)
    assert (summary["read"], summary["not_finite"], summary["written"]) == (48, 2, 40)


def test_prune_opacity(scene):
    convert("a.ply", "b.ply", "--prune-opacity", 0.25)
    kept = scene.select(scene.opacities >= 0.25)
    assert 0 < len(kept) < COUNT
    np.testing.assert_allclose(Gaussians.load("b.ply").means, kept.means)


def test_max_splats_keeps_the_largest_in_their_order(scene):
    convert("a.ply", "b.ply", "--max-splats", 7)
    a, b, c = scene.scales.T.astype(float)
    ranked = np.argsort(-scene.opacities * (a * b + b * c + c * a))
    np.testing.assert_allclose(Gaussians.load("b.ply").means, scene.means[np.sort(ranked[:7])])
    convert("a.ply", "c.ply", "--max-splats", 1000)
    assert len(Gaussians.load("c.ply")) == COUNT


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_up(scene, suffix):
    convert("a.ply", f"y{suffix}", "--up", "y")
    stored = Gaussians.load(f"y{suffix}", up="z").means  # the numbers as they are
    x, y, z = scene.means.T
    np.testing.assert_allclose(stored, np.stack([x, z, -y], axis=1), atol=2e-4)
    convert(f"y{suffix}", "back.ply", "--from-up", "y")
    np.testing.assert_allclose(Gaussians.load("back.ply").means, scene.means, atol=2e-4)


def test_versions_of_spz_and_degrees_of_harmonics(scene):
    for version in ("3", "4"):
        convert("a.ply", f"v{version}.spz", "--spz-version", version)
    assert Path("v3.spz").read_bytes()[:2] == b"\x1f\x8b"
    assert Path("v4.spz").read_bytes()[:8] == b"NGSP\4\0\0\0"
    convert("a.ply", "default.spz")
    assert Path("default.spz").read_bytes() == Path("v3.spz").read_bytes()
    convert("a.ply", "unity.ply", "--sh-degree", "3")
    assert Path("unity.ply").read_bytes().partition(b"end_header")[0].count(b"property") == 62
    convert("unity.ply", "plain.ply", "--sh-degree", "0")
    assert Path("plain.ply").stat().st_size == Path("a.ply").stat().st_size
    np.testing.assert_allclose(Gaussians.load("plain.ply").colors, scene.colors, atol=1e-5)


@pytest.mark.parametrize("suffix", [".sog", ".npz"])
def test_files_that_are_read_back(scene, suffix):
    convert("a.ply", f"b{suffix}")
    convert(f"b{suffix}", "c.ply")
    assert len(Gaussians.load("c.ply")) == len(scene)


def test_usd(scene):
    convert("a.ply", "b.usda", "--up", "z")
    assert b'upAxis = "Z"' in Path("b.usda").read_bytes()


def test_raw_ply_both_ways(scene):
    convert("a.ply", "raw.ply", "--raw-ply")
    assert b"nx" not in Path("raw.ply").read_bytes()[:400]
    for option in ([], ["--from-raw-ply"]):
        convert("raw.ply", "b.ply", *option)
        np.testing.assert_allclose(Gaussians.load("b.ply").opacities, scene.opacities, atol=1e-6)
    convert("raw.ply", "misread.ply", "--from-standard-ply")
    assert Gaussians.load("misread.ply").opacities.min() >= 0.5  # sigmoids of [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b.xyz"], "'b.xyz' names no splat format; the file name must end in .ply, .spz"),
        (["b.spz", "--up", "x"], "--up is 'x'; it must be 'y' or 'z'"),
        (["b.glb", "--up", "z"], "--up is 'z', but a .glb file is y up: leave it out"),
        (["b.spz", "--from-up", "q"], "--from-up is 'q'; it must be 'y' or 'z'"),
        (["b.spz", "--prune-opacity", "nan"], "the least opacity is nan; it must be in [0, 1]"),
        (["b.spz", "--prune-opacity", "-1"], "the least opacity is -1.0; it must be in [0, 1]"),
        (["b.spz", "--max-splats", "0"], "the largest number of splats is 0; it must be 1 or"),
        (["b.ply", "--sh-degree", "4"], "--sh-degree is 4; it must be 0, 1, 2 or 3"),
        (["b.splat", "--sh-degree", "0"], "--sh-degree was given, but a .splat file holds no harm"),
        (["b.ply", "--sh-degree", "3", "--raw-ply"], "but a raw PLY holds no harmonics: leave it"),
        (["b.spz", "--spz-version", "2"], "--spz-version is 2; it must be 3 or 4"),
        (
            ["b.ply", "--spz-version", "4"],
            "--spz-version was given, but .ply files are no SPZ",
        ),
        (["b.spz", "--raw-ply"], "--raw-ply was given, but output 'b.spz' is no .ply; name one"),
        (["b.compressed.ply"], "'b.compressed.ply' names a compressed PLY, and those are read but"),
        (["folder.ply"], "output 'folder.ply' is a folder; name a file in it"),
        (["file/b.ply"], "cannot write 'file/b.ply': 'file' is not a folder"),
        (["/proc/b.ply"], "cannot write '/proc/b.ply'"),
    ],
)
def test_options_and_output_are_checked_before_anything_is_read(arguments, message):
    Path("folder.ply").mkdir()
    Path("file").write_text("")
    assert_refused(call_here("geolrm", "convert", "none.ply", *arguments), message)
    assert names() == ["file", "folder.ply"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.ply"], "cannot read 'none.ply': No such file or directory"),
        (["none.obj"], "'none.obj' names no splat format"),
        (
            ["none.usdz"],
            "'none.usdz' is a .usdz file, and those are written but not read: ",
        ),
        (["folder.ply"], "'folder.ply' is not a regular file; name a splat file"),
        (["a.spz", "--from-raw-ply"], "is no PLY, which alone has a raw layout"),
    ],
)
def test_inputs_that_cannot_be_read(scene, arguments, message):
    Path("folder.ply").mkdir()
    scene.save("a.spz")
    before = names()
    done = call_here("geolrm", "convert", arguments[0], "b.splat", *arguments[1:])
    assert_refused(done, message)
    assert names() == before


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_input_is_never_replaced(scene, link):
    content, output = Path("a.ply").read_bytes(), "a.ply"
    if link is not None:
        link("a.ply", output := "b.ply")
    done = call_here("geolrm", "convert", "a.ply", output, "--max-splats", 1)
    assert_refused(done, f"output '{output}' is the input file itself; name another")
    assert Path("a.ply").read_bytes() == content


def test_an_older_output_is_replaced_and_folders_are_made(scene):
    Path("deep/er").mkdir(parents=True)
    Path("deep/er/b.splat").write_bytes(b"old")
    convert("a.ply", "deep/er/b.splat")
    assert len(Gaussians.load("deep/er/b.splat")) == COUNT
    convert("a.ply", "new/folder/b.splat")
    assert len(Gaussians.load("new/folder/b.splat")) == COUNT


def test_a_failed_write_leaves_the_older_file(scene, monkeypatch):
    Path("b.ply").write_bytes(b"old")

    def no_room(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    done = call_here("geolrm", "convert", "a.ply", "b.ply")
    assert_refused(done, "cannot write 'b.ply': No space left on device", code=1)
    assert names() == ["a.ply", "b.ply"] and Path("b.ply").read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupted_write_leaves_nothing(scene):
    """While the file is being written: its flush to disk waits for the signal."""
    code = (
        "import os, sys, time\n"
        "def wait(handle):\n    open('writing', 'w').close(); time.sleep(60)\n"
        "os.fsync = wait\nsys.argv[1:] = ['convert', 'a.ply', 'b.ply']\n"
        "from geolrm.commands import main\nmain()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not Path("writing").exists():
        time.sleep(0.01)
    assert any(name.endswith(".part") for name in names())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert errors.splitlines()[-1] == "error: interrupted; no unfinished file was left"
    assert names() == ["a.ply", "writing"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("degree", range(4))
@pytest.mark.filterwarnings("ignore:a .splat file holds no colours")
def test_every_degree_of_harmonics_goes_through_every_format(suffix, degree):
    count = (degree + 1) ** 2
    scene = random_gaussians(count)
    scene = Gaussians(scene.means, scene.opacities, scene.scales, scene.quats, sh=scene.sh / 10)
    scene.save("a.ply")
    # unturned, since a turn spreads the rounding of a coefficient over those of its degree
    up = ("--up", "z") if suffix == ".spz" else ()
    done = convert("a.ply", f"b{suffix}", *up)
    assert ("no colours that depend on the view" in done.stderr) == (
        suffix == ".splat" and degree > 0
    )
    convert(f"b{suffix}", "back.ply", *(("--from-up", "z") if up else ()))
    read = Gaussians.load("back.ply")
    if suffix == ".splat" or degree == 0:
        assert read.sh is None and (read.colors is not None and len(read.colors) == COUNT)
        dc = (read.colors - 0.5) / 0.28209479177387814
    else:
        assert read.sh is not None and read.sh.shape == (COUNT, count, 3)
        tolerance = {".spz": 1 / 16}.get(suffix, 1e-5)  # half a step of 16/128
        np.testing.assert_allclose(read.sh[:, 1:], scene.sh[:, 1:], atol=tolerance + 1e-6)
        dc = read.sh[:, 0]
    step = {".spz": 0.5 / 255 / 0.15, ".splat": 0.5 / 255 / 0.2820948}.get(suffix, 1e-5)
    inside = np.abs(scene.sh[:, 0]) < 1.7  # .splat cuts colours off at 0 and 1
    np.testing.assert_allclose(dc[inside], scene.sh[:, 0][inside], atol=1.01 * step)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_gaussian(suffix):
    one = random_gaussians().select(np.array([3]))
    one.save("a.ply")
    assert convert("a.ply", f"b{suffix}").stdout.startswith("1 Gaussian, ")
    read = Gaussians.load(f"b{suffix}")
    np.testing.assert_allclose(read.means, one.means, atol=2e-4)
    np.testing.assert_allclose(read.scales, one.scales, rtol=0.033)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_no_gaussians_are_a_file_too(suffix):
    random_gaussians().select(np.zeros(0, int)).save("a.ply")
    assert convert("a.ply", f"b{suffix}").stdout.startswith("0 Gaussians, ")
    assert len(Gaussians.load(f"b{suffix}")) == 0


def test_pruning_everything_is_told(scene):
    done = convert("a.ply", "b.spz", "--prune-opacity", 1)
    assert done.stdout.startswith("0 of 50 Gaussians, ")
    assert "warning: no splat has an opacity of 1.0: none is left" in done.stderr
    done = call_here("geolrm", "convert", "a.ply", "b.glb", "--prune-opacity", 1)
    assert_refused(done, "there are no splats, and glTF has no empty primitives: write a .ply")
    assert not Path("b.glb").exists()


def test_in_a_process_of_its_own(scene):
    done = call("geolrm", "convert", "a.ply", "b.spz", "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["written"] == COUNT
