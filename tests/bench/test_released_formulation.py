import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Cameras
from geolrm.bench.released_formulation import (
    ReleasedDeformableAttention,
    use_released_formulation,
)


def test_the_released_order_of_work_computes_the_same():
    model = tiny_model(tiny_config())
    cameras = Cameras.orbit([0, 120, 240], 10, 1.7, 50)
    views = [torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics)]
    images = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = model(images, *views)
        released = use_released_formulation(model)(images, *views)
    switched = [m for m in model.modules() if isinstance(m, ReleasedDeformableAttention)]
    assert len(switched) == 4  # two layers of each stage
    torch.testing.assert_close(released.logits, ours.logits, atol=1e-4, rtol=1e-4)
    for got, expected in zip(released.gaussians, ours.gaussians, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
