import numpy as np
from samples.gaussians import random_gaussians

from geolrm import Gaussians
from geolrm.bench import formats


def test_splats_lie_on_a_ball():
    splats = formats.shell(200)
    np.testing.assert_allclose(np.linalg.norm(splats.means, axis=1), 0.4, rtol=1e-5)
    np.testing.assert_array_equal(splats.means, formats.shell(200).means)


def test_the_peer_writes_files_that_are_read_here(tmp_path):
    splats = random_gaussians()
    formats.write_row_tuples(splats, tmp_path / "a.ply")
    read = Gaussians.load(tmp_path / "a.ply")
    np.testing.assert_allclose(read.means, splats.means, atol=1e-6)
    np.testing.assert_allclose(read.colors, splats.colors, atol=1e-5)


def test_calls_are_timed_after_one_to_warm_up():
    calls = []
    assert len(formats.seconds(lambda: calls.append(1), 3)) == 3 and len(calls) == 4


def test_every_format_is_measured_and_what_is_asked_of_it_is_said(tmp_path):
    rows = {row.what: row for row in formats.measure(50, 1, tmp_path)}
    for name in (".ply", ".spz", "SPZ 4", ".splat", ".glb", ".sog", ".npz"):
        assert rows[f"{name} written"].bytes > 0 and rows[f"{name} read"].best > 0
    assert rows["SPZ 4 written"].gate == 1.0 and rows["SPZ 4 read"].gate == 0.6
    for name in (".usda", ".usdz"):
        assert rows[f"{name} written"].gate == 1.5 and f"{name} read" not in rows
    assert rows[".ply read"].gate == 0.3 and rows[".sog read"].gate is None
