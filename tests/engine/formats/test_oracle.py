"""Another program reads what is written here, and the other way round: count, bounds and values.

The program is splat-transform of npm (``make oracle``); the tests skip without it.
"""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from reference.glb import parse
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians

PROGRAM = Path(__file__).parents[2] / "oracle" / "node_modules" / ".bin" / "splat-transform"
SH_C0 = 0.28209479177387814


@pytest.fixture(scope="module")
def oracle():
    missing = None
    if shutil.which("node") is None:
        missing = "needs node"
    elif not PROGRAM.exists():
        missing = "needs splat-transform: make oracle"
    if missing and os.environ.get("GEOLRM_REQUIRE_ORACLE") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)

    def run(*arguments):
        done = subprocess.run(
            [str(PROGRAM), "-q", "-w", *map(str, arguments)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def table(oracle, path):
    """Columns of a splat file as the other program reads them."""
    oracle(path, path.with_suffix(".csv"))
    with path.with_suffix(".csv").open() as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))


def stack(columns, *names):
    return np.stack([columns[name] for name in names], axis=1)


def y_up(points):
    x, y, z = points.T
    return np.stack([x, z, -y], axis=1)


@pytest.mark.parametrize(
    ("suffix", "sh", "up"),
    [
        *((suffix, sh, "z") for suffix in (".ply", ".spz") for sh in (None, 4, 9, 16)),
        *((suffix, 16, "y") for suffix in (".ply", ".spz", ".splat")),
        *((".splat", None, up) for up in ("y", "z")),
    ],
)
@pytest.mark.filterwarnings("ignore:a .splat file holds no colours")
def test_values_agree(oracle, tmp_path, suffix, sh, up):
    written, path = random_gaussians(sh), tmp_path / f"a{suffix}"
    written.save(path, up=up)
    columns = table(oracle, path)
    means = stack(columns, "x", "y", "z")
    assert len(means) == COUNT
    expected = written.means if up == "z" else y_up(written.means)
    step = 1.01 * 2**-13 if suffix == ".spz" else 1e-7
    np.testing.assert_allclose(means, expected, atol=step)
    # What is compared from here on is what this project reads of the same file, unturned.
    read = Gaussians.load(path, up="z")
    np.testing.assert_allclose(1 / (1 + np.exp(-columns["opacity"])), read.opacities, atol=1e-5)
    scales = np.exp(stack(columns, "scale_0", "scale_1", "scale_2"))
    np.testing.assert_allclose(scales, read.scales, rtol=1e-4)
    quats = stack(columns, "rot_0", "rot_1", "rot_2", "rot_3")
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    signs = np.sign((quats * read.quats).sum(axis=1, keepdims=True))
    # A byte of .splat is (b - 128) / 128 to its first writer and 2 b / 255 - 1 to this reader.
    within = 1 / 128 if suffix == ".splat" else 1e-4
    np.testing.assert_allclose(quats * signs, read.quats, atol=within)
    dc = stack(columns, "f_dc_0", "f_dc_1", "f_dc_2")
    colors = read.colors if read.sh is None else read.sh[:, 0] * SH_C0 + 0.5
    np.testing.assert_allclose(dc * SH_C0 + 0.5, colors, atol=1e-4)
    higher = [name for name in columns if name.startswith("f_rest_")]
    if sh is None or suffix == ".splat":
        assert not higher
        return
    assert len(higher) == 3 * (sh - 1)
    rest = stack(columns, *(f"f_rest_{k}" for k in range(len(higher))))
    rest = rest.reshape(COUNT, 3, sh - 1).transpose(0, 2, 1)
    np.testing.assert_allclose(rest, read.sh[:, 1:], atol=1e-5)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_count_and_bounds_agree(oracle, tmp_path, suffix):
    scene = random_gaussians()
    scene.save(tmp_path / f"a{suffix}", up="z")
    report = json.loads(oracle(tmp_path / f"a{suffix}", "--stats", "json", "null"))
    (stats,) = report["stats"]
    assert report["numGaussians"] == stats["numGaussians"] == COUNT
    assert stats["columns"][:3] == ["x", "y", "z"]
    atol = 1.01 * 2**-13 if suffix == ".spz" else 1e-6
    np.testing.assert_allclose(stats["data"]["min"][:3], scene.means.min(axis=0), atol=atol)
    np.testing.assert_allclose(stats["data"]["max"][:3], scene.means.max(axis=0), atol=atol)
    assert not any(stats["data"]["nanCount"]) and not any(stats["data"]["infCount"])


@pytest.mark.parametrize("sh", [None, 16])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".ply", []), *((".spz", ["--spz-version", version]) for version in ("3", "4"))],
)
def test_files_of_the_other_program_are_read(oracle, tmp_path, suffix, options, sh):
    scene = random_gaussians(sh)
    scene.save(tmp_path / "a.ply")
    oracle(*options, tmp_path / "a.ply", tmp_path / f"b{suffix}")
    read = Gaussians.load(tmp_path / f"b{suffix}", up="z")
    atol = 1.01 * 2**-12 if suffix == ".spz" else 1e-6
    np.testing.assert_allclose(read.means, scene.means, atol=atol)
    np.testing.assert_allclose(read.opacities, scene.opacities, atol=1.01 / 255)
    np.testing.assert_allclose(np.log(read.scales), np.log(scene.scales), atol=1.01 / 16)
    signs = np.sign((read.quats * scene.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, scene.quats, atol=3e-3)


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
def test_its_compressed_ply_is_read_as_it_reads_it(oracle, tmp_path, sh):
    random_gaussians(sh).save(tmp_path / "a.ply")
    oracle(tmp_path / "a.ply", tmp_path / "b.compressed.ply")
    oracle(tmp_path / "b.compressed.ply", tmp_path / "theirs.ply")  # decompressed
    assert b"packed_position" in (tmp_path / "b.compressed.ply").read_bytes()
    read = Gaussians.load(tmp_path / "b.compressed.ply")
    theirs = Gaussians.load(tmp_path / "theirs.ply")
    np.testing.assert_allclose(read.means, theirs.means, atol=1e-6)
    np.testing.assert_allclose(read.opacities, theirs.opacities, atol=1e-5)
    np.testing.assert_allclose(read.scales, theirs.scales, rtol=1e-4)
    signs = np.sign((read.quats * theirs.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, theirs.quats, atol=1e-5)
    if sh is None:
        np.testing.assert_allclose(read.colors, theirs.colors, atol=1e-5)
    else:
        np.testing.assert_allclose(read.sh, theirs.sh, atol=1e-5)


@pytest.mark.parametrize("sh", [None, 16])
def test_version_4_of_spz_is_read_as_it_reads_it(oracle, tmp_path, sh):
    random_gaussians(sh).save(tmp_path / "a.ply")
    oracle("--spz-version", "4", tmp_path / "a.ply", tmp_path / "b.spz")
    assert (tmp_path / "b.spz").read_bytes()[:8] == b"NGSP\4\0\0\0"
    oracle(tmp_path / "b.spz", tmp_path / "theirs.ply")
    read, theirs = (
        Gaussians.load(tmp_path / "b.spz", up="z"),
        Gaussians.load(tmp_path / "theirs.ply"),
    )
    assert len(read) == len(theirs) == COUNT
    np.testing.assert_allclose(read.means, theirs.means, atol=1e-6)
    np.testing.assert_allclose(read.opacities, theirs.opacities, atol=1e-5)
    np.testing.assert_allclose(read.scales, theirs.scales, rtol=1e-4)
    signs = np.sign((read.quats * theirs.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, theirs.quats, atol=1e-4)


@pytest.mark.parametrize("sh", [None, 4, 16])
def test_version_4_of_spz_is_read_by_it(oracle, tmp_path, sh):
    random_gaussians(sh).save(tmp_path / "a.spz", spz_version=4)
    assert (tmp_path / "a.spz").read_bytes()[:8] == b"NGSP\4\0\0\0"
    oracle(tmp_path / "a.spz", tmp_path / "theirs.ply")
    read, theirs = (
        Gaussians.load(tmp_path / "a.spz", up="z"),
        Gaussians.load(tmp_path / "theirs.ply"),
    )
    assert_alike(read, theirs)


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
def test_our_sog_is_read_by_it(oracle, tmp_path, sh):
    random_gaussians(sh).save(tmp_path / "a.sog")
    oracle(tmp_path / "a.sog", tmp_path / "theirs.ply")
    read, theirs = (
        Gaussians.load(tmp_path / "a.sog", up="z"),
        Gaussians.load(tmp_path / "theirs.ply"),
    )
    assert_alike(read, theirs)
    bounds = [np.stack([g.means.min(axis=0), g.means.max(axis=0)]) for g in (read, theirs)]
    np.testing.assert_allclose(bounds[0], bounds[1], atol=1e-6)


@pytest.mark.parametrize("sh", [None, 16])
def test_its_sog_is_read_as_it_reads_it(oracle, tmp_path, sh):
    random_gaussians(sh).save(tmp_path / "a.ply")
    oracle("-g", "cpu", tmp_path / "a.ply", tmp_path / "b.sog")
    oracle(tmp_path / "b.sog", tmp_path / "theirs.ply")
    read, theirs = (
        Gaussians.load(tmp_path / "b.sog", up="z"),
        Gaussians.load(tmp_path / "theirs.ply"),
    )
    assert_alike(read, theirs)


def assert_alike(read, theirs):
    """Two readers of one file, which keeps its order."""
    assert len(read) == len(theirs) == COUNT
    np.testing.assert_allclose(read.means, theirs.means, atol=1e-6)
    np.testing.assert_allclose(read.opacities, theirs.opacities, atol=1e-5)
    np.testing.assert_allclose(read.scales, theirs.scales, rtol=1e-4)
    signs = np.sign((read.quats * theirs.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, theirs.quats, atol=1e-4)
    assert (read.sh is None) == (theirs.sh is None)
    name = "colors" if read.sh is None else "sh"
    np.testing.assert_allclose(getattr(read, name), getattr(theirs, name), atol=1e-5)


def test_a_ply_padded_to_degree_3_has_62_properties(oracle, tmp_path):
    scene = random_gaussians()
    scene.save(tmp_path / "a.ply", sh_degree=3)
    head = (tmp_path / "a.ply").read_bytes().partition(b"end_header")[0]
    assert head.count(b"property float") == 62
    columns = table(oracle, tmp_path / "a.ply")
    rest = stack(columns, *(f"f_rest_{k}" for k in range(45)))
    assert rest.shape == (COUNT, 45) and not rest.any()
    dc = stack(columns, "f_dc_0", "f_dc_1", "f_dc_2")
    np.testing.assert_allclose(dc * SH_C0 + 0.5, scene.colors, atol=1e-5)


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
def test_the_glb_of_the_other_program_is_the_same(oracle, tmp_path, sh):
    """It reads no GLB, but writes it: the same attributes, types and values."""
    scene = random_gaussians(sh)
    scene.save(tmp_path / "a.ply", up="y")
    oracle(tmp_path / "a.ply", tmp_path / "theirs.glb")
    scene.save(tmp_path / "ours.glb")
    (theirs, their_array), (ours, our_array) = (
        parse((tmp_path / f"{name}.glb").read_bytes()) for name in ("theirs", "ours")
    )
    found = [document["meshes"][0]["primitives"][0] for document in (theirs, ours)]
    assert found[0]["mode"] == found[1]["mode"] == 0
    name = "KHR_gaussian_splatting"
    assert name in theirs["extensionsUsed"] and name in ours["extensionsUsed"]
    settings = [primitive["extensions"][name] for primitive in found]
    for key in ("kernel", "colorSpace"):
        assert settings[0][key] == settings[1][key]
    assert set(found[1]["attributes"]) == set(found[0]["attributes"])
    # Points for programs without the extension: bytes of sRGB there, linear light of 16 bits here.
    bytes_of_srgb, light = (
        array(primitive["attributes"].pop("COLOR_0"))
        for array, primitive in zip((their_array, our_array), found, strict=True)
    )
    srgb, light = bytes_of_srgb / 255, light / 65535
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(shown[:, :3], srgb[:, :3], atol=0.51 / 255)
    np.testing.assert_allclose(light[:, 3], srgb[:, 3], atol=0.51 / 255)
    for key, index in found[1]["attributes"].items():
        here, there = (d["accessors"] for d in (ours, theirs))
        their_index = found[0]["attributes"][key]
        for field in ("type", "componentType", "count"):
            assert here[index][field] == there[their_index][field]
        if key.endswith((":SCALE", ":OPACITY", "DEGREE_0_COEF_0")):  # what no turn changes
            np.testing.assert_allclose(
                our_array(index), their_array(their_index), rtol=1e-4, atol=1e-5
            )
    read = Gaussians.load(tmp_path / "theirs.glb")
    np.testing.assert_allclose(read.opacities, scene.opacities, atol=1e-5)
    np.testing.assert_allclose(read.scales, scene.scales, rtol=1e-4)
    # It takes the numbers of a PLY for y down, and so turns them by half a turn about their z.
    np.testing.assert_allclose(read.means, scene.means * (-1, 1, -1), atol=1e-6)
