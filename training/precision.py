"""Reduced precision where it is harmless: chosen modules compute in bf16, geometry never does.

An autocast around the whole model would also round rays and projections, which sub-pixel sampling
does not survive.
"""

import functools

import torch
from torch import Tensor, nn

from geolrm.export.model import GeoLRM
from geolrm.export.model.attention import SelfAttention
from geolrm.export.model.transformer import FeedForward
from geolrm.export.model.volume import ConvBlock


def reduces(precision: str, device: torch.device) -> bool:
    """Tell whether matrix products run in bf16.

    ``auto`` asks the hardware: a CPU without instructions for bf16 emulates it, ten times slower.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()


def reduce_precision(model: GeoLRM, dtype: torch.dtype = torch.bfloat16) -> None:
    """Let the matrix products of transformers, decoder and convolutions run in ``dtype``."""
    for module in model.modules():
        if isinstance(module, FeedForward | SelfAttention | ConvBlock):
            compute_in(module, dtype)
    for encoder in (model.serializer.encoder, model.lrm_generator.encoder):
        if encoder is not None and encoder.config.use_high_level:
            compute_in(encoder.model.encoder, dtype)
            compute_in(encoder.deconv, dtype)
    for network in (model.serializer, model.lrm_generator):
        for block in network.transformer.blocks:
            compute_in(block.cross_attention.deformable_attention.value_proj, dtype)
            compute_in(block.cross_attention.output_proj, dtype)
    compute_in(model.lrm_generator.renderer.latent_decoder[0], dtype)


def compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Run a module under autocast; it takes and returns float32."""
    forward = module.forward

    @functools.wraps(forward)
    def reduced(*inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, dtype):
            return forward(*inputs).float()

    module.forward = reduced
