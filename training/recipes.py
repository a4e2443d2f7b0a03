"""Recipes by name."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

from geolrm.export.model import GeoLRMConfig, SplatUpdateConfig, released
from geolrm.export.model import mini as mini_model
from geolrm.training.config import LossConfig, OptimizerConfig, Recipe, ViewConfig
from geolrm.training.data.augmentation import AugmentationConfig
from geolrm.training.data.conditions import ConditionConfig

NO_AUGMENTATION = AugmentationConfig(
    **{entry.name: 0.0 for entry in dataclasses.fields(AugmentationConfig)}
)


def mini(steps: int = 4000) -> Recipe:
    """Return the recipe of the first part of the shipped default's training."""
    return Recipe(mini_model(), steps)


def captures(steps: int = 4000) -> Recipe:
    """Return the recipe that goes on from mini on captures as people take them.

    To be started from trained weights (``--initial mini``): no step reads true anchors.
    """
    return Recipe(
        mini_model(),
        steps,
        true_anchor_steps=0,
        views=ViewConfig(
            min_inputs=1, max_inputs=20, scattered=0.15, hemispheres=0.25, free_framing=0.5,
            off_centre=0.25,
        ),
        optimizer=OptimizerConfig(learning_rate=2e-4, warmup=100),
        conditions=ConditionConfig(
            lamp=0.15, flash=0.15, exposure=0.25, poses=0.3, cut=0.15, masks=0.2, blur=0.2,
            noise=0.2, compression=0.2,
        ),
    )  # fmt: skip


def refinement(steps: int = 2000) -> Recipe:
    """Return the recipe that trains the learned refinement of mini, and nothing else.

    To be started from trained weights (``--initial mini``). A step of the run takes all steps of
    the refinement on one object, and the weights change after each of them. Colours and structure
    in other views count, and how near the centres lie to the surface: descent on photographs alone
    leaves them anywhere along the rays.
    """
    model = replace(
        mini_model(),
        update=SplatUpdateConfig(steps=14, cell_channels=24),
        closing=SplatUpdateConfig(
            steps=1, views=64, cell_channels=24
        ),  # more than any object of it has
    )
    return Recipe(
        model,
        steps,
        true_anchor_steps=0,
        max_anchors=model.proposal.max_seq_len,  # all, as the engine takes them
        losses=LossConfig(
            occupancy=0.0, mse=1.0, l1=0.0, dissimilarity=0.6, alpha=0.0, depth_l1=0.0,
            surface=0.8, logarithmic=True,
        ),
        views=ViewConfig(
            min_inputs=3, max_inputs=20, scattered=0.25, free_framing=0.4,
            fields_of_view=(22.0, 65.0), targets=4, target_size=256,
        ),
        optimizer=OptimizerConfig(
            learning_rate=4e-4, warmup=20, weight_decay=0.0, clip=0.5, average=0.998
        ),
        conditions=ConditionConfig(exposure=0.12, poses=0.12, pose_degrees=0.6, pose_shift=0.006),
        stage="refinement",
    )  # fmt: skip


def smoke() -> Recipe:
    """Return a recipe of two minutes for tests: mini, few views, small targets."""
    recipe = mini(steps=20)
    return replace(recipe, views=replace(recipe.views, max_inputs=3, target_size=64))


def paper_model() -> GeoLRMConfig:
    """Return the published configuration as it was trained: with dropout, and 4096 anchors."""
    model = released("token")
    transformer = replace(model.proposal.transformer, dropout=0.1)
    return replace(
        model,
        proposal=replace(model.proposal, transformer=transformer, max_seq_len=4096),
        reconstruction=replace(model.reconstruction, xyz_scale=0.5),
    )


def paper_optimizer(learning_rate: float, warmup: int, clip: float) -> OptimizerConfig:
    """Return the optimizer that both stages of the released training share."""
    return OptimizerConfig(
        learning_rate,
        final_share=0.001,
        warmup=warmup,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        clip=clip,
        clip_scope="model",
    )


def paper_stage1() -> Recipe:
    """Return the recipe of the released proposal: 50,000 steps, batch 2 on each of 8 processes."""
    return Recipe(
        paper_model(),
        steps=50_000,
        objects_per_step=2,
        precision="fp32",
        losses=LossConfig(affinity=1.0),
        views=ViewConfig(min_inputs=1, max_inputs=8, scattered=0.5, targets=1, target_size=64),
        optimizer=paper_optimizer(2e-4, 500, 10.0),
        augmentation=NO_AUGMENTATION,
        stage="proposal",
        occupancy_convention="released",
    )


def paper_stage2() -> Recipe:
    """Return the recipe of the released reconstruction.

    A step is 8 objects on each process, so 100,000 of them are 12,500 steps.
    The squared error was of images in [-1, 1], four times that of images in [0, 1].
    """
    return Recipe(
        paper_model(),
        steps=12_500,
        objects_per_step=8,
        true_anchor_steps=0,
        max_anchors=4096,
        precision="fp32",
        losses=LossConfig(
            mse=4.0,
            l1=0.0,
            dissimilarity=2.0,
            alpha=1.0,
            depth_l1=0.0,
            edge_log_depth=0.2,
            depth_variation=0.05,
        ),
        views=ViewConfig(min_inputs=1, max_inputs=7, scattered=0.5, targets=8, target_size=448),
        optimizer=paper_optimizer(1e-4, 1_500, 4.0),
        augmentation=NO_AUGMENTATION,
        stage="reconstruction",
        recompute=True,
        occupancy_convention="released",
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "mini": mini,
    "captures": captures,
    "refinement": refinement,
    "smoke": smoke,
    "paper-stage1": paper_stage1,
    "paper-stage2": paper_stage2,
}
