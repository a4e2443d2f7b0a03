import numpy as np
from samples.known_shapes import ball_surface, make_splats

from geolrm import Cameras
from geolrm.engine.refinement.visibility import blending_weights, drop_hidden, shows


def test_a_splat_alone_weighs_what_its_alpha_sums_to():
    splats = make_splats(np.zeros((1, 3)), np.full((1, 3), 0.5), scale=0.05)
    cameras = Cameras.orbit([0, 90], [10, 10], 1.8, 50)
    (weight,) = blending_weights(splats, cameras, 64)
    drawn = splats.render(cameras, (64, 64))
    np.testing.assert_allclose(weight, drawn.alpha.sum(), rtol=1e-4)


def test_what_lies_inside_is_dropped():
    means = np.concatenate([ball_surface(2000), np.zeros((7, 3))])
    kept = drop_hidden(make_splats(means, np.full(means.shape, 0.5), scale=0.06))
    radii = np.linalg.norm(kept.means, axis=1)
    assert radii.min() > 0.3 and len(kept) > 1000
    assert shows(kept).mean() > 0.99  # those inside had hidden next to nothing


def test_where_nothing_would_be_left_all_stay():
    tiny = make_splats(np.zeros((2, 3)), np.zeros((2, 3)), scale=1e-6)
    assert len(drop_hidden(tiny)) == 2 and shows(tiny).tolist() == [True, True]
    assert len(drop_hidden(tiny.select([]))) == 0
