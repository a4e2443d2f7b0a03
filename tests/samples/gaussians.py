"""Small data that several tests share."""

import numpy as np

from geolrm import Gaussians

COUNT = 50


def random_gaussians(sh=None):
    rng = np.random.default_rng(0)
    quats = rng.standard_normal((COUNT, 4))
    return Gaussians(
        means=rng.uniform(-0.5, 0.5, (COUNT, 3)),
        opacities=rng.uniform(0.01, 0.99, COUNT),
        scales=rng.uniform(1e-4, 0.02, (COUNT, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        colors=rng.random((COUNT, 3)) if sh is None else None,
        sh=None if sh is None else rng.standard_normal((COUNT, sh, 3)),
    )
