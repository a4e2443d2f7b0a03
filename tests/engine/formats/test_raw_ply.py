"""The PLY layout of GeoLRM's own script: activated values under the standard names."""

import numpy as np
import pytest
from harness.processes import call_here
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians, InputError
from geolrm.engine.formats import ply
from geolrm.engine.formats.splat_files import decode, encode

NAMES = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"


def parse(content):
    """Names and rows by a reader of its own."""
    header, rows = content.split(b"end_header\n", 1)
    names = [line.split()[2] for line in header.decode().splitlines() if "property" in line]
    return names, np.frombuffer(rows, "<f4").reshape(-1, len(names))


def test_raw_files_hold_activated_values_without_normals():
    scene = random_gaussians()
    names, rows = parse(encode(scene, ".ply", raw=True))
    assert names == NAMES.split()
    columns = np.hstack(
        [scene.means, scene.colors, scene.opacities[:, None], scene.scales, scene.quats]
    )
    np.testing.assert_array_equal(rows, columns)


def test_standard_files_hold_logits_logarithms_and_harmonics():
    scene = random_gaussians()
    names, rows = parse(encode(scene, ".ply"))
    assert names[:6] == ["x", "y", "z", "nx", "ny", "nz"]
    column = dict(zip(names, rows.T, strict=True))
    assert not rows[:, 3:6].any()
    np.testing.assert_allclose(
        column["opacity"], np.log(scene.opacities / (1 - scene.opacities)), atol=1e-5
    )
    np.testing.assert_allclose(column["scale_1"], np.log(scene.scales[:, 1]), atol=1e-5)
    np.testing.assert_allclose(
        column["f_dc_2"], (scene.colors[:, 2] - 0.5) / 0.28209479177387814, atol=1e-5
    )
    np.testing.assert_array_equal(column["rot_0"], scene.quats[:, 0])


def test_both_layouts_are_recognised(tmp_path):
    scene = random_gaussians()
    scene.save(tmp_path / "raw.ply", raw=True)
    scene.save(tmp_path / "standard.ply")
    for name in ("raw.ply", "standard.ply"):
        read = Gaussians.load(tmp_path / name)
        np.testing.assert_allclose(read.colors, scene.colors, atol=1e-6)
        np.testing.assert_allclose(read.scales, scene.scales, rtol=1e-5)


def test_the_caller_may_decide_the_layout():
    """Without normals, half-opaque splats of a unit and more could be either layout."""
    scene = random_gaussians()
    content = encode(scene, ".ply", raw=True)
    read = decode(content, ".ply", raw=False)
    np.testing.assert_allclose(read.scales, np.exp(scene.scales), rtol=1e-5)
    np.testing.assert_allclose(read.opacities, 1 / (1 + np.exp(-scene.opacities)), rtol=1e-5)
    assert (decode(content, ".ply", raw=True).scales == scene.scales).all()


@pytest.mark.parametrize(
    ("name", "value"), [("opacity", 1.5), ("scale_0", -4.0), ("f_dc_1", -0.2), ("scale_2", 1.1)]
)
def test_one_value_out_of_range_means_the_standard_layout(name, value):
    names, rows = parse(encode(random_gaussians(), ".ply", raw=True))
    column = dict(zip(names, rows.copy().T, strict=True))
    assert ply.looks_raw(column)
    column[name][3] = value
    assert not ply.looks_raw(column)


def test_raw_takes_the_mean_colour_of_harmonics_and_says_so():
    scene = random_gaussians(16)
    with pytest.warns(UserWarning, match="a raw PLY holds no colours that depend on the view"):
        content = encode(scene, ".ply", raw=True)
    names, rows = parse(content)
    np.testing.assert_allclose(rows[:, 3:6], scene.sh[:, 0] * 0.28209479177387814 + 0.5, atol=1e-5)
    assert names == NAMES.split()


def test_raw_is_refused_elsewhere():
    scene = random_gaussians()
    with pytest.raises(InputError, match="a .spz file has none: name a .ply"):
        encode(scene, ".spz", raw=True)
    with pytest.raises(InputError, match="has f_rest properties, and so it is no raw PLY"):
        decode(encode(random_gaussians(4), ".ply"), ".ply", raw=True)
    with pytest.raises(InputError, match="is no PLY, which alone has a raw layout"):
        decode(encode(scene, ".splat"), ".splat", raw=True)


def test_convert_writes_and_reads_the_layout(tmp_path):
    scene = random_gaussians()
    scene.save(tmp_path / "a.ply")
    done = call_here("geolrm", "convert", tmp_path / "a.ply", tmp_path / "b.ply", "--raw-ply")
    assert done.returncode == 0, done.stderr
    names, rows = parse((tmp_path / "b.ply").read_bytes())
    assert names == NAMES.split() and len(rows) == COUNT
    np.testing.assert_allclose(rows[:, 6], scene.opacities, rtol=1e-5)
    done = call_here("geolrm", "convert", tmp_path / "b.ply", tmp_path / "c.ply")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(Gaussians.load(tmp_path / "c.ply").scales, scene.scales, rtol=1e-5)
