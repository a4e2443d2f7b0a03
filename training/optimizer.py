"""AdamW, its schedule, clipping of each module, and the moving average of the weights."""

import math

import torch
from torch import Tensor, nn

from geolrm.export.model import GeoLRM
from geolrm.training.config import OptimizerConfig


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Return the rate of a step: a cosine warm-up, then one cosine to ``final_share``.

    Args:
        step: From 0.
        steps: Length of the run.
        config: Rates.
    """
    low = config.final_share
    if step < config.warmup:
        share = low + (1 - math.cos(math.pi * step / config.warmup)) * (1 - low) / 2
    else:
        done = min((step - config.warmup) / max(steps - config.warmup, 1), 1.0)
        share = low + (1 + math.cos(math.pi * done)) * (1 - low) / 2
    return config.learning_rate * share


def make_optimizer(model: GeoLRM, config: OptimizerConfig) -> torch.optim.AdamW:
    """Make AdamW of which only matrices decay; norms and biases do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def clipped_modules(model: GeoLRM) -> dict[str, nn.Module]:
    """Name the modules whose gradients are clipped apart: a loud one must not silence others."""
    modules = {}
    for stage, network in (("proposal", model.serializer), ("reconstruction", model.lrm_generator)):
        for name, child in network.named_children():
            if any(p.requires_grad for p in child.parameters()):
                modules[f"{stage}.{name}"] = child
    for name, network in (("refinement", model.splat_update), ("closing", model.splat_closing)):
        if network is not None and any(p.requires_grad for p in network.parameters()):
            modules[name] = network
    return modules


def clip_gradients(model: GeoLRM, config: OptimizerConfig) -> float:
    """Scale gradients to the configured norm; return the largest norm before."""
    if config.clip_scope == "model":
        trained = [p for p in model.parameters() if p.requires_grad]
        return float(nn.utils.clip_grad_norm_(trained, config.clip))
    norms = [
        nn.utils.clip_grad_norm_(module.parameters(), config.clip)
        for module in clipped_modules(model).values()
    ]
    return float(torch.stack([norm.cpu() for norm in norms]).max())  # of no gradients it is there


class MovingAverage:
    """Exponential moving average of a model's parameters, warmed up over the first steps."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Blend in the parameters after ``step``; other tensors are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            average: Tensor = self.weights[name]
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
