"""Hierarchical image encoder: DINOv2 plus a convolution over RGB and Pluecker rays (section 3.2).

Attribute names follow the released checkpoint, so that its state dict loads without a map.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.export.model.attention import multi_head_attention
from geolrm.export.model.config import EncoderConfig
from geolrm.export.model.geometry import pluecker_rays

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
LAYER_NORM_EPS = 1e-6
BATCH_NORM_EPS = 1e-5


def resample_position_embedding(embedding: Tensor, grid: int) -> Tensor:
    """Resize the position embedding to a grid x grid map of patches.

    The rule is the one the released weights were trained with: a bicubic resize whose step is
    (grid + 0.1) / stored, not grid / stored.

    Args:
        embedding: [1, 1 + stored^2, C], class token first.
        grid: Patches along one side.

    Returns:
        [1, 1 + grid^2, C].
    """
    stored = math.isqrt(embedding.shape[1] - 1)
    if stored == grid:
        return embedding
    maps = embedding[:, 1:].reshape(1, stored, stored, -1).permute(0, 3, 1, 2)
    scale = (grid + 0.1) / stored
    maps = F.interpolate(
        maps, scale_factor=(scale, scale), mode="bicubic", recompute_scale_factor=False
    )
    patches = maps.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)
    return torch.cat([embedding[:, :1], patches], dim=1)


class PatchEmbeddings(nn.Module):
    """Tokens of non-overlapping patches, as vision transformers call them."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        size = config.patch_size
        self.projection = nn.Conv2d(3, config.hidden_size, size, stride=size)

    def forward(self, images: Tensor) -> Tensor:  # [V, 3, H, W] -> [V, HW/p^2, C]
        return self.projection(images).flatten(2).transpose(1, 2)


class Embeddings(nn.Module):
    """Class token, patches and position embedding."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        width = config.hidden_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width), requires_grad=False)  # never read
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + config.position_grid**2, width))
        self.patch_embeddings = PatchEmbeddings(config)
        self.baked: Tensor | None = None  # set by `bake`, so that export sees a constant

    def bake(self, grid: int) -> None:
        """Fix the position embedding for one image size."""
        stored = math.isqrt(self.position_embeddings.shape[1] - 1)
        if stored != grid:
            resampled = resample_position_embedding(self.position_embeddings.detach(), grid)
            self.baked = nn.Parameter(resampled, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embeddings(images)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        if self.baked is not None:
            return tokens + self.baked
        grid = images.shape[-1] // self.patch_embeddings.projection.kernel_size[0]
        return tokens + resample_position_embedding(self.position_embeddings, grid)


class Linear(nn.Linear):
    """A linear layer over flattened leading axes: its exported graph keeps the weight as stored."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


class QueryKeyValue(nn.Module):
    """Multi-head attention core of DINOv2."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.value = Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # [V, T, C] -> [V, T, C]
        q, k, v = (layer(tokens) for layer in (self.query, self.key, self.value))
        return multi_head_attention(q, k, v, self.num_heads)


class AttentionOutput(nn.Module):
    """Output projection of the attention."""

    def __init__(self, width: int):
        super().__init__()
        self.dense = Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.dense(tokens)


class Attention(nn.Module):
    """Attention core and its output projection."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.attention = QueryKeyValue(width, num_heads)
        self.output = AttentionOutput(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.attention(tokens))


class LayerScale(nn.Module):
    """Learned gain per channel of a residual branch."""

    def __init__(self, width: int):
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.lambda1


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class EncoderLayer(nn.Module):
    """Pre-norm ViT block with layer scale."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        width = config.hidden_size
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attention = Attention(width, config.num_heads)
        self.layer_scale1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(width, config.mlp_ratio * width)
        self.layer_scale2 = LayerScale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.layer_scale1(self.attention(self.norm1(tokens)))
        return tokens + self.layer_scale2(self.mlp(self.norm2(tokens)))


class EncoderStack(nn.Module):
    """The blocks of the ViT."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.layer = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layer:
            tokens = layer(tokens)
        return tokens


class DinoV2(nn.Module):
    """DINOv2 vision transformer without registers; returns the normalised patch map."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = EncoderStack(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised images [V, 3, H, H] to [V, C, H/p, H/p]."""
        tokens = self.layernorm(self.encoder(self.embeddings(images)))[:, 1:]
        side = images.shape[-1] // self.embeddings.patch_embeddings.projection.kernel_size[0]
        return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side)


class ImageEncoder(nn.Module):
    """Posed views to the flattened features of two levels that the transformers sample."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        norm = (lambda c: nn.BatchNorm2d(c, eps=BATCH_NORM_EPS)) if config.batch_norm else None
        width = config.feature_dim
        bias = not config.batch_norm
        if config.use_high_level:
            self.model = DinoV2(config)
            deconv = nn.ConvTranspose2d(
                config.hidden_size, width, 4, stride=2, padding=1, bias=bias
            )
            self.deconv = nn.Sequential(deconv, norm(width)) if norm else nn.Sequential(deconv)
        if config.use_low_level:
            stride = config.low_level_stride
            channels = 3 if config.rays == "none" else 9
            conv = nn.Conv2d(channels, width, stride, stride=stride, bias=bias)
            self.low_level_encoder = (
                nn.Sequential(conv, norm(width)) if norm else nn.Sequential(conv)
            )
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, c2w: Tensor, intrinsics: Tensor) -> Tensor:
        """Encode each view on its own.

        Args:
            images: [V, 3, S, S] RGB in [0, 1], on white.
            c2w: [V, 4, 4] OpenGL camera-to-world.
            intrinsics: [V, 3, 3], divided by the image size.

        Returns:
            [V, L, C]: the low level in raster order, then the high level.
        """
        normalised = (images - self.mean) / self.std
        levels = []
        if self.config.use_low_level:
            levels.append(self.low_level(normalised, c2w, intrinsics))
        if self.config.use_high_level:
            levels.append(self.deconv(self.model(normalised)))
        return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)

    def low_level(self, normalised: Tensor, c2w: Tensor, intrinsics: Tensor) -> Tensor:
        """Convolve colours and rays with a stride: [V, C, S/4, S/4]."""
        if self.config.rays == "none":
            return self.low_level_encoder(normalised)
        rays = pluecker_rays(
            intrinsics, c2w, normalised.shape[-1], normalise=self.config.rays == "unit"
        )
        return self.low_level_encoder(torch.cat([normalised, rays], dim=1))
