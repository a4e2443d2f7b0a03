import torch
from samples.tiny_models import tiny_config

from geolrm.export.model.pixel_colors import PixelColors

VIEWS, ANCHORS = 3, 5
SHAPES = ((4, 4), (2, 2))


def blend(alpha, seen=None, occlusion=False, trust=None):
    torch.manual_seed(0)
    config = tiny_config()
    module = PixelColors(config.reconstruction, config.encoder, occlusion).requires_grad_(False)
    if trust is not None:
        module.trust.bias.fill_(trust)
    count = ANCHORS * module.count
    color = torch.rand(VIEWS, count, 3)
    learned = torch.rand(count, 3)
    seen = torch.ones(VIEWS, count) if seen is None else seen
    reference = torch.rand(VIEWS, ANCHORS, 2)
    given = torch.randn(ANCHORS, 24), torch.randn(VIEWS, 20, 12), SHAPES, reference
    return module(*given, color, alpha, seen, learned), color, learned


def test_without_a_pixel_the_learned_colour_stays():
    made, _, learned = blend(torch.zeros(VIEWS, 20))
    torch.testing.assert_close(made, learned)


def test_trusted_pixels_are_mixed_over_views():
    made, color, _ = blend(torch.ones(VIEWS, 20), trust=50.0)
    assert (made >= color.amin(0) - 1e-6).all() and (made <= color.amax(0) + 1e-6).all()


def test_a_view_outside_its_mask_hardly_counts():
    alpha = torch.zeros(VIEWS, 20)
    alpha[1] = 1
    made, color, _ = blend(alpha, trust=50.0)
    torch.testing.assert_close(made, color[1], atol=0.02, rtol=0)


def test_a_view_that_is_hidden_hardly_counts():
    seen = torch.zeros(VIEWS, 20)
    seen[2] = 1
    made, color, _ = blend(torch.ones(VIEWS, 20), seen, occlusion=True, trust=50.0)
    torch.testing.assert_close(made, color[2], atol=0.02, rtol=0)
