from dataclasses import replace

import numpy as np
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Cameras


def run(config):
    """What a tiny model makes of three views."""
    cameras = Cameras.orbit([0, 120, 240], [10, 20, 30], 1.7, 50)
    images = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    poses = (torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics))
    with torch.inference_mode():
        return tiny_model(config)(images, *poses)


def centred(config):
    return replace(config, reconstruction=replace(config.reconstruction, centred_offsets=True))


def test_centred_offsets_surround_the_anchor():
    result = run(centred(tiny_config()))
    offsets = result.gaussians.means.view(-1, 4, 3) - result.anchors[:, None]
    assert offsets.min() < -0.01 and offsets.abs().max() <= 0.1 + 1e-6
    one_sided = run(tiny_config())
    offsets = one_sided.gaussians.means.view(-1, 4, 3) - one_sided.anchors[:, None]
    assert offsets.min() >= 0 and offsets.max() <= 0.2 + 1e-6


def test_decoded_gaussians_are_in_their_ranges():
    gaussians = run(tiny_config()).gaussians
    assert gaussians.opacities.min() > 0 and gaussians.opacities.max() < 1
    assert gaussians.scales.min() > 0
    np.testing.assert_allclose(gaussians.quats.norm(dim=1), 1, atol=1e-5)
