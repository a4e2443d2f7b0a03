from types import SimpleNamespace

import pytest
import torch

from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.training import gsplat_backend
from geolrm.training.rendering import choose_rasterizer, render_targets

CPU = torch.device("cpu")


def test_ours_renders_on_the_cpu_and_gsplat_on_cuda(monkeypatch):
    monkeypatch.setattr(gsplat_backend, "import_gsplat", lambda: None)
    cuda = torch.device("cuda", 0)
    assert choose_rasterizer("auto", cuda, threads=1) is gsplat_backend.rasterize
    assert choose_rasterizer("gsplat", CPU, threads=1) is gsplat_backend.rasterize
    for name, device in (("auto", CPU), ("cpu", cuda)):
        chosen = choose_rasterizer(name, device, threads=3)
        assert chosen.keywords == {"device": device, "threads": 3}


@pytest.mark.parametrize(("shape", "key"), [((4, 3), "colors"), ((4, 9, 3), "sh")])
def test_targets_are_rendered_at_their_size(shape, key):
    given = {}

    def rasterizer(*splats, **options):
        given.update(options, count=len(splats))
        return "images"

    colors = torch.rand(shape)
    splats = DecodedGaussians(*(torch.rand(4, n) for n in (3, 1, 3, 4)), colors)
    episode = SimpleNamespace(
        target_rgba=torch.zeros(2, 24, 24, 4), target_w2c="poses", target_intrinsics="pixels"
    )
    assert render_targets(splats, episode, [1, 1, 1], rasterizer) == "images"
    assert given["size"] == (24, 24) and given["count"] == 4 and given[key] is colors
    assert given["w2c"] == "poses" and given["intrinsics"] == "pixels"
