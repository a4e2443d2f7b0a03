"""Floating-point operations of one reconstruction, counted from the configuration.

2 FLOP per multiply-add; offsets and weights once per query; norms, softmax and sampling left out.
"""

from geolrm.export.model import GeoLRMConfig, TransformerConfig


def encoder_flops(config: GeoLRMConfig) -> float:
    """Count one image encoder on one view."""
    encoder, size = config.encoder, config.image_size
    width, hidden = encoder.hidden_size, encoder.mlp_ratio * encoder.hidden_size
    grid = size // encoder.patch_size
    tokens = grid**2 + 1
    linear = encoder.num_layers * tokens * (4 * width**2 + 2 * width * hidden)
    attention = encoder.num_layers * 2 * tokens**2 * width
    patch = grid**2 * 3 * encoder.patch_size**2 * width
    deconv = (2 * grid) ** 2 * 4 * width * encoder.feature_dim
    low_side = size // encoder.low_level_stride
    low = low_side**2 * 9 * encoder.low_level_stride**2 * encoder.feature_dim
    return 2.0 * (linear + attention + patch + deconv + low)


def transformer_flops(
    transformer: TransformerConfig,
    queries: int,
    views: int,
    pixels: int,
    features: int,
    levels: int,
) -> dict[str, float]:
    """Count one geometry-aware transformer, by kind of work."""
    d, layers = transformer.dim, transformer.num_layers
    samples = transformer.num_heads * levels * transformer.samples_per_level
    dense = queries * (4 * d * d + 3 * d * transformer.ffn_dim + 3 * d * samples + d * d)
    keys = queries if transformer.self_attention == "token" else transformer.num_heads
    return {
        "dense layers": 2.0 * layers * dense,
        "value projection": 2.0 * layers * views * pixels * features * d,
        "self-attention": 4.0 * layers * queries * keys * d,
    }


def reconstruction_flops(config: GeoLRMConfig, views: int, anchors: int) -> dict[str, float]:
    """Count a whole run, by kind of work."""
    pixels = sum(h * w for h, w in config.encoder.level_shapes(config.image_size))
    features, levels = config.encoder.feature_dim, config.encoder.num_levels
    proposal = config.proposal.queries_per_axis**3
    encoders = 1 if config.shared_encoder else 2
    total = {"encoders": encoders * views * encoder_flops(config)}
    for transformer, count in (
        (config.proposal.transformer, proposal),
        (config.reconstruction.transformer, anchors),
    ):
        work = transformer_flops(transformer, count, views, pixels, features, levels)
        for name, flops in work.items():
            total[name] = total.get(name, 0.0) + flops
    head = proposal * config.proposal.transformer.dim * config.proposal.token_res**3
    r = config.reconstruction
    width = r.gaussians_per_anchor * r.channels_per_gaussian
    total["dense layers"] += 2.0 * (head + anchors * width * (r.transformer.dim + width))
    return total
