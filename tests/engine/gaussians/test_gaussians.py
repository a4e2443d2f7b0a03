import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import Gaussians, InputError


def read_ply(path):
    """A reader of its own: header text, then rows of float32."""
    raw = path.read_bytes()
    header, body = raw.split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = int(lines[2].removeprefix("element vertex "))
    names = [line.removeprefix("property float ") for line in lines[3:]]
    table = np.frombuffer(body, "<f4").reshape(count, len(names))
    return names, table


def test_ply_has_the_standard_layout(tmp_path):
    gaussians = random_gaussians()
    gaussians.save(tmp_path / "a.ply")
    names, table = read_ply(tmp_path / "a.ply")
    assert (
        names
        == (
            "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 "
            "rot_3"
        ).split()
    )
    column = {name: table[:, i].astype(float) for i, name in enumerate(names)}
    np.testing.assert_array_equal(table[:, :3], gaussians.means)
    np.testing.assert_allclose(1 / (1 + np.exp(-column["opacity"])), gaussians.opacities, rtol=1e-5)
    np.testing.assert_allclose(np.exp(column["scale_2"]), gaussians.scales[:, 2], rtol=1e-5)
    np.testing.assert_allclose(
        column["f_dc_1"] * 0.28209479177387814 + 0.5, gaussians.colors[:, 1], atol=1e-6
    )
    np.testing.assert_array_equal(table[:, -4:], gaussians.quats)


def test_ply_holds_spherical_harmonics_channel_major(tmp_path):
    gaussians = random_gaussians(sh=9)
    gaussians.save(tmp_path / "a.ply")
    names, table = read_ply(tmp_path / "a.ply")
    assert names[9] == "f_rest_0" and names[9 + 23] == "f_rest_23"
    np.testing.assert_array_equal(table[:, 9 : 9 + 8], gaussians.sh[:, 1:, 0])


def test_saturated_values_stay_finite(tmp_path):
    extreme = Gaussians(
        np.zeros((2, 3)), np.array([0, 1]), np.zeros((2, 3)), np.ones((2, 4)), np.ones((2, 3))
    )
    extreme.save(tmp_path / "a.ply")
    assert np.isfinite(read_ply(tmp_path / "a.ply")[1]).all()


def test_no_gaussians_make_a_valid_file(tmp_path):
    empty = Gaussians(*(np.empty(s) for s in ((0, 3), (0,), (0, 3), (0, 4), (0, 3))))
    empty.save(tmp_path / "a.ply")
    assert read_ply(tmp_path / "a.ply")[1].shape == (0, 17)


def test_unwritable_path_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        random_gaussians().save(tmp_path / "file" / "a.ply")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
