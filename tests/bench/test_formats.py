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
