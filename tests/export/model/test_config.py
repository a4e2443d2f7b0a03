from dataclasses import replace

import pytest

from geolrm import InputError
from geolrm.export.model import CueConfig, EncoderConfig, TransformerConfig, released


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransformerConfig(50, 2, num_heads=16), "dim 50 must be a multiple of num_heads"),
        (
            lambda: TransformerConfig(64, 2, num_heads=16, self_attention="token"),
            "head_dim 4 must be a multiple of 6",
        ),
        (lambda: replace(released(), image_size=450), "image_size 450 must be a positive multiple"),
        (lambda: TransformerConfig(96, 1, self_attention="x"), "must be 'token' or 'head'"),
    ],
)
def test_broken_configurations_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderConfig(hidden_size=-1), "hidden_size is -1; it must be a finite number"),
        (lambda: EncoderConfig(feature_dim=0), "feature_dim is 0; .* above 0"),
        (lambda: EncoderConfig(num_layers=-1), "num_layers is -1; .* 0 or more"),
        (lambda: EncoderConfig(hidden_size=25, num_heads=2), "hidden_size 25 must be a multiple"),
        (
            lambda: EncoderConfig(use_low_level=False, use_high_level=False),
            "the encoder needs use_low_level or use_high_level; both are off",
        ),
        (lambda: CueConfig(volume_channels=12), "must be a multiple of 8"),
    ],
)
def test_values_that_no_model_has(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_level_shapes_follow_the_switches():
    both = EncoderConfig()
    assert both.num_levels == 2
    low = replace(both, use_high_level=False)
    assert low.level_shapes(56) == ((14, 14),)
    high = replace(both, use_low_level=False)
    assert high.level_shapes(56) == ((8, 8),) and high.num_levels == 1
