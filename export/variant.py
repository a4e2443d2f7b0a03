"""Choose the self-attention that a checkpoint was made for, by what it reconstructs.

The released weights do not say whether they expect attention over all queries (``token``) or over
the heads of one (``head``). The wrong program yields noise, so both are run on a real capture and
compared with its images.
"""

from dataclasses import dataclass

import numpy as np
import torch

from geolrm.engine.captures import Capture
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.rendering.render import render
from geolrm.engine.views.preprocessing import Views, prepare_views
from geolrm.export.model import GeoLRM, GeoLRMConfig

NUM_VIEWS = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """The better variant and both scores in dB."""

    config: GeoLRMConfig
    scores: dict[str, float]


def choose_variant(model: GeoLRM, capture: Capture) -> Comparison:
    """Reconstruct a capture with both variants; keep the one closer to its images."""
    scores: dict[str, float] = {}
    configs: dict[str, GeoLRMConfig] = {}
    chosen = capture.subset(capture.cameras.spread(min(NUM_VIEWS, len(capture))))
    views = prepare_views(chosen.images, chosen.cameras, model.config.image_size)
    for variant in ("token", "head"):
        configs[variant] = model.config.with_self_attention(variant)
        candidate = GeoLRM(configs[variant])
        candidate.load_state_dict(model.state_dict())
        scores[variant] = score(candidate.eval(), views)
    return Comparison(configs[max(scores, key=lambda variant: scores[variant])], scores)


def score(model: GeoLRM, views: Views) -> float:
    """Return the PSNR in dB between renders on white and the input images."""
    with torch.inference_mode():
        arrays = (views.images, views.c2w, views.intrinsics, views.foreground)
        images, c2w, intrinsics, foreground = map(torch.from_numpy, arrays)
        decoded = model(images, c2w, intrinsics, foreground=foreground).gaussians
    fields = {name: tensor.numpy() for name, tensor in decoded._asdict().items()}
    if model.config.reconstruction.use_sh:
        fields["sh"] = fields.pop("colors")
    side = views.images.shape[-1]
    rendered = render(Gaussians(**fields), views, (side, side)).rgb
    error = float(np.mean((rendered - views.images.transpose(0, 2, 3, 1)) ** 2, dtype=np.float64))
    return -10 * np.log10(max(error, 1e-10))
