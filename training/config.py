"""All that a training run depends on, as frozen dataclasses that check themselves."""

from dataclasses import dataclass, field
from typing import Literal

from geolrm.export.model import GeoLRMConfig
from geolrm.export.model.checks import require, require_numbers
from geolrm.training.data.augmentation import AugmentationConfig
from geolrm.training.data.conditions import ConditionConfig

Stage = Literal["both", "proposal", "reconstruction", "refinement", "closing"]
LEAST_TARGET = 11  # px, the window of SSIM
SEED_LIMIT = 1 << 32  # a million examples apart, seeds still fit into 64 bits


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the loss terms; 0 leaves a term out.

    Images are in [0, 1]. ``dissimilarity`` is LPIPS where ``lpips_weights`` names a file with its
    weights, else 1 - SSIM. ``surface`` is the Chamfer distance between centres of Gaussians and the
    true surface, in cube sides. With ``logarithmic``, each of these terms counts by its logarithm:
    an object that is easy to show then counts as much as a hard one.
    """

    occupancy: float = 1.0
    affinity: float = 0.3
    positive_weight: float = 1.0
    mse: float = 5.0
    l1: float = 0.2
    dissimilarity: float = 0.3
    alpha: float = 2.0
    depth_l1: float = 1.0
    edge_log_depth: float = 0.0  # the paper's depth term
    depth_variation: float = 0.0
    surface: float = 0.0
    logarithmic: bool = False
    lpips_weights: str | None = None

    def __post_init__(self) -> None:
        require_numbers(self, zero=self.__slots__)


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """The views that a step sees, and those that it is judged on.

    Inputs are ``min_inputs`` to ``max_inputs`` views, evenly spaced on one orbit or, for a share
    ``scattered``, anywhere around, or, for a share ``hemispheres``, spread over all sides but the
    lower. Targets of meshes are drawn from the groups of the evaluation; targets of posed objects
    are views that are no inputs.

    Inputs of meshes stand and see as the evaluation's do. A share ``free_framing`` of the captures
    has another field of view, from a distance at which the object is seen whole, or, for a share
    ``off_centre`` of all, looks past its centre.
    """

    min_inputs: int = 2
    max_inputs: int = 8
    scattered: float = 0.2
    hemispheres: float = 0.0
    free_framing: float = 0.0
    fields_of_view: tuple[float, float] = (20.0, 75.0)  # degrees, of free framing
    off_centre: float = 0.0
    targets: int = 4
    target_size: int = 192  # px
    supersample: int = 2
    target_groups: tuple[float, float, float, float] = (0.3, 0.46, 0.12, 0.12)  # up, level, ends

    def __post_init__(self) -> None:
        require(
            1 <= self.min_inputs <= self.max_inputs,
            f"min_inputs is {self.min_inputs} and max_inputs {self.max_inputs}; they must satisfy "
            "1 <= min_inputs <= max_inputs",
        )
        require(self.targets >= 1, f"targets is {self.targets}; it must be 1 or more")
        require(
            self.target_size >= LEAST_TARGET,
            f"target_size is {self.target_size}; it must be {LEAST_TARGET} px or more",
        )
        require(self.supersample >= 1, f"supersample is {self.supersample}; it must be 1 or more")
        for name in ("scattered", "hemispheres", "free_framing", "off_centre"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} is {value!r}; it must be a share, 0 to 1")
        require(
            self.scattered + self.hemispheres <= 1,
            f"scattered is {self.scattered!r} and hemispheres {self.hemispheres!r}; they are "
            "shares of all captures and must not add up to more than 1",
        )
        least, most = self.fields_of_view
        require(
            5 <= least <= most <= 120,
            f"fields_of_view are {least!r} and {most!r}; they must be degrees, the smaller first, "
            "from 5 to 120",
        )
        require(
            min(self.target_groups) >= 0 and abs(sum(self.target_groups) - 1) < 1e-6,
            f"target_groups are {list(self.target_groups)}; they must be shares that add up to 1",
        )


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW with warm-up, one cosine, clipping and a moving average of the weights.

    ``clip`` bounds the norm of the gradient: of each module apart (``module``), or of all
    parameters at once (``model``) as the released training did.
    """

    learning_rate: float = 5e-4
    final_share: float = 0.02  # of the learning rate at the end
    warmup: int = 200  # steps
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0
    average: float = 0.997  # decay of the moving average
    clip_scope: Literal["module", "model"] = "module"

    def __post_init__(self) -> None:
        require_numbers(self, zero=self.__slots__)
        require(self.clip > 0, f"clip is {self.clip!r}; it must be above 0")
        require(
            self.final_share <= 1,
            f"final_share is {self.final_share!r}; it must be a share, 0 to 1",
        )
        for name, value in (
            *(("betas", beta) for beta in self.betas),
            ("average", self.average),
        ):
            require(0 <= value < 1, f"{name} is {value!r}; it must be 0 or more and below 1")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A run: model, data handling, losses, optimizer and length.

    ``stage`` is ``proposal`` for stage 1 alone, ``reconstruction`` for stage 2 with a frozen
    proposal, ``both`` for one run that trains them together, ``refinement`` for the networks of the
    learned refinement alone, with all else frozen, ``closing`` for the closing one of these.
    ``precision`` ``auto`` is bf16 where the hardware multiplies it and fp32 elsewhere.
    ``recompute`` keeps no activations of the transformer blocks: less memory, more time.
    ``occupancy_convention`` is one of
    :func:`~geolrm.training.occupancy.occupancy_from_points`.
    """

    model: GeoLRMConfig
    steps: int
    objects_per_step: int = 1  # of each process
    seed: int = 0
    true_anchor_steps: int = 1000  # over which true occupancy gives way to the proposal's
    max_anchors: int = 3200
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    losses: LossConfig = field(default_factory=LossConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    conditions: ConditionConfig = field(default_factory=ConditionConfig)  # of meshes
    stage: Stage = "both"
    recompute: bool = False
    occupancy_convention: Literal["centres", "released"] = "centres"

    def __post_init__(self) -> None:
        for name in ("steps", "objects_per_step", "max_anchors"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is {value}; it must be 1 or more")
        require(
            self.true_anchor_steps >= 0,
            f"true_anchor_steps is {self.true_anchor_steps}; it must be 0 or more",
        )
        require(
            0 <= self.seed < SEED_LIMIT,
            f"seed is {self.seed}; it must be a whole number from 0 to {SEED_LIMIT - 1}",
        )
        require(
            self.stage == "both" or self.refines or not self.model.shared_encoder,
            f"stage is {self.stage!r}, but both stages of this model share one image encoder; set "
            "stage to 'both' or model.shared_encoder to false",
        )
        require(
            not self.refines or self.model.update is not None,
            f"stage is {self.stage!r}, but the model has no update network; set model.update, as "
            "the recipe refinement has it",
        )
        require(
            self.stage != "closing" or self.model.closing is not None,
            "stage is 'closing', but the model has no closing network; set model.closing, as the "
            "recipe refinement has it",
        )

    @property
    def refines(self) -> bool:
        """Tell whether networks of the learned refinement are trained, over a frozen model."""
        return self.stage in ("refinement", "closing")
