from dataclasses import replace

import pytest

from geolrm.bench.flops import encoder_flops, reconstruction_flops, transformer_flops
from geolrm.export.model import mini, released


def test_the_released_encoder_is_counted():
    """DINOv2-B at 448 px: 12 layers of 1,025 tokens, 85 M weights in them."""
    flops = encoder_flops(released())
    layers = 12 * (1025 * 12 * 768**2 * 2 + 4 * 1025**2 * 768)
    assert layers < flops < 1.2 * layers


def test_attention_grows_with_the_square_of_the_tokens():
    block = released("token").reconstruction.transformer
    once, twice = (transformer_flops(block, n, 2, 100, 12, 2) for n in (1000, 2000))
    assert twice["self-attention"] == 4 * once["self-attention"]
    assert twice["dense layers"] == 2 * once["dense layers"]
    assert twice["value projection"] == once["value projection"]
    heads = replace(block, self_attention="head")
    assert transformer_flops(heads, 1000, 2, 100, 12, 2)["self-attention"] == (
        once["self-attention"] * block.num_heads / 1000
    )


def test_a_shared_encoder_is_counted_once():
    config = mini()
    assert config.shared_encoder
    shared = reconstruction_flops(config, 3, 100)["encoders"]
    assert shared == pytest.approx(3 * encoder_flops(config))
    parts = reconstruction_flops(released(), 3, 100)
    assert parts["encoders"] == pytest.approx(6 * encoder_flops(released()))
    assert set(parts) == {"encoders", "dense layers", "value projection", "self-attention"}
