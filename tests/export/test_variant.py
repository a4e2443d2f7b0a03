from types import SimpleNamespace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm.engine.views.preprocessing import prepare_views
from geolrm.export.variant import choose_variant, score


def test_auto_reconstructs_with_both_variants(shoe):
    choice = choose_variant(tiny_model(tiny_config()), shoe)
    assert set(choice.scores) == {"token", "head"}
    assert choice.scores["token"] != choice.scores["head"]
    assert choice.config.self_attention == max(choice.scores, key=choice.scores.get)


def test_a_score_is_the_psnr_of_renders_on_white(shoe):
    """Of Gaussians that cannot be seen, what is left is white."""
    chosen = shoe.subset([0, 9])
    views = prepare_views(chosen.images, chosen.cameras, 56)
    widths = {"means": 3, "scales": 3, "quats": 4, "colors": 3}
    fields = {name: torch.full((1, width), 0.001) for name, width in widths.items()}
    decoded = SimpleNamespace(_asdict=lambda: {**fields, "opacities": torch.zeros(1)})
    reconstruction = SimpleNamespace(use_sh=False)

    def model(*_, **__):
        return SimpleNamespace(gaussians=decoded)

    model.config = SimpleNamespace(reconstruction=reconstruction)
    expected = -10 * np.log10(((1 - views.images.astype(np.float64)) ** 2).mean())
    assert score(model, views) == pytest.approx(expected, abs=1e-3)
