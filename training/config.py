"""Recipes: everything a training run depends on, as frozen dataclasses."""

from dataclasses import dataclass, field, replace

from geolrm.engine.errors import InputError
from geolrm.export.model import GeoLRMConfig
from geolrm.export.model import mini as mini_model
from geolrm.training.data.augmentation import AugmentationConfig


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the loss terms; 0 leaves a term out."""

    occupancy: float = 1.0
    affinity: float = 0.3
    positive_weight: float = 1.0
    mse: float = 5.0
    l1: float = 0.2
    dissimilarity: float = 0.3  # 1 - SSIM
    alpha: float = 2.0
    depth_l1: float = 1.0
    edge_log_depth: float = 0.0  # the paper's depth term
    depth_variation: float = 0.0


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """Which views a step sees and which it is judged on.

    Inputs are ``min_inputs`` to ``max_inputs`` views, evenly spaced on one orbit or, for a share
    ``scattered``, anywhere around. Targets are drawn from the groups of the evaluation.
    """

    min_inputs: int = 2
    max_inputs: int = 8
    scattered: float = 0.2
    targets: int = 4
    target_size: int = 192  # px
    supersample: int = 2
    target_groups: tuple[float, float, float, float] = (0.3, 0.46, 0.12, 0.12)  # up, level, ends


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW with warm-up, one cosine, clipping of each module and a moving average of weights."""

    learning_rate: float = 5e-4
    final_share: float = 0.02  # of the learning rate at the end
    warmup: int = 200  # steps
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0  # norm of each module's gradient
    average: float = 0.997  # decay of the moving average


@dataclass(frozen=True, slots=True)
class Recipe:
    """A run: model, data handling, losses, optimizer and length."""

    model: GeoLRMConfig
    steps: int
    objects_per_step: int = 1  # of each process
    seed: int = 0
    true_anchor_steps: int = 1000  # over which true occupancy gives way to the proposal's
    max_anchors: int = 3200
    precision: str = "bf16"
    losses: LossConfig = field(default_factory=LossConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


def mini(steps: int = 6000) -> Recipe:
    """The recipe of the shipped default."""
    return Recipe(mini_model(), steps)


def smoke() -> Recipe:
    """A recipe of two minutes for tests: mini, few views, small targets."""
    recipe = mini(steps=20)
    return replace(recipe, views=replace(recipe.views, max_inputs=3, target_size=64))


def recipe(name: str) -> Recipe:
    """A recipe by name."""
    recipes = {"mini": mini, "smoke": smoke}
    if name not in recipes:
        raise InputError(f"there is no recipe {name!r}; choose one of {', '.join(recipes)}")
    return recipes[name]()
