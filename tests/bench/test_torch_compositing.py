import numpy as np
import torch

from geolrm import Cameras, Gaussians
from geolrm.bench import splat_scenes, torch_compositing
from geolrm.engine.geometry.cameras import FLIP_YZ


def test_it_renders_what_the_rasterizer_does():
    scene = splat_scenes.ring_and_ball(300)
    size = (64, 48)
    intrinsics = scene.intrinsics(*size)
    arrays = (*scene.splats().values(), scene.w2c, intrinsics)
    arrays = [torch.from_numpy(array).float() for array in arrays]
    made = torch_compositing.render(*arrays, size)
    c2w = np.linalg.inv(scene.w2c) @ FLIP_YZ
    cameras = Cameras(c2w[None], (np.diag([1 / size[0], 1 / size[1], 1]) @ intrinsics)[None])
    ours = Gaussians(**scene.splats()).render(cameras, size).rgb[0]
    np.testing.assert_allclose(made, ours, atol=0.01)
    assert np.ptp(ours) > 0.3
