"""Objects set aside, on which a run is judged and its best weights are chosen."""

import hashlib
import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from geolrm.training import stages
from geolrm.training.config import Recipe
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.objective import Objective
from geolrm.training.recipes import NO_AUGMENTATION
from geolrm.training.run_folder import BEST_NAME, RunFolder
from geolrm.training.sources import EpisodeSource
from geolrm.training.state import TrainingState

CLEAN_VIEWS = (6, 12)  # inputs of the captures that are as the evaluation's
FIRST_LAP = 1 << 31  # of the examples, beyond those of any run


def set_aside(names: Sequence[str], count: int) -> frozenset[str]:
    """Choose ``count`` of the objects by the hash of their names, the same whatever others join."""
    order = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    return frozenset(order[:count])


def clean(recipe: Recipe, views: int) -> Recipe:
    """Return the recipe with captures as the evaluation has them: one orbit, true, whole."""
    config = replace(
        recipe.views, min_inputs=views, max_inputs=views, scattered=0.0, hemispheres=0.0,
        free_framing=0.0, off_centre=0.0,
    )  # fmt: skip
    return replace(recipe, views=config, conditions=ConditionConfig(), augmentation=NO_AUGMENTATION)


class Validation:
    """Judges the moving average on objects that are not trained on.

    Each object is seen on clean captures of 6 and of 12 views, and once under the conditions
    of the recipe; all of it is the same each time.
    """

    def __init__(self, source: EpisodeSource, recipe: Recipe, folder: RunFolder):
        self.folder = folder
        changed = replace(recipe, augmentation=NO_AUGMENTATION)
        self.recipes = {f"views_{n}": clean(recipe, n) for n in CLEAN_VIEWS} | {"drawn": changed}
        self.sources = {
            name: EpisodeSource(source.objects, source.names, judged)
            for name, judged in self.recipes.items()
        }
        records = folder.validations()
        self.best = max((record["score"] for record in records), default=-math.inf)

    def __call__(self, objective: Objective, state: TrainingState) -> dict[str, Any]:
        """Measure, add the record to ``validation.jsonl``, and keep the weights if they are best.

        The record has IoU of the occupancy and, but in the proposal's stage, PSNR in dB of the
        targets on random backgrounds, for each kind of capture; of a learned refinement after all
        its steps and, as ``psnr_before``, before them. Beside it stand ``dissimilarity`` and
        ``surface``, where they have a weight, which do not count in the score. ``score`` is the
        mean over kinds of PSNR, or of IoU where there is none.
        """
        record: dict[str, Any] = {"step": state.step}
        with averaged(state, objective.recipe):
            for name, source in self.sources.items():
                found = judge(objective, source)
                record |= {f"{name}_{measure}": value for measure, value in found.items()}
        measure = "iou" if objective.recipe.stage == "proposal" else "psnr"
        record["score"] = statistics.fmean(record[f"{name}_{measure}"] for name in self.sources)
        self.folder.log_validation(record)
        if record["score"] > self.best:
            self.best = record["score"]
            self.folder.save_weights(state, objective.recipe.model, BEST_NAME)
        return record


@torch.no_grad()
def judge(objective: Objective, source: EpisodeSource) -> dict[str, float]:
    """Return the means over a source's objects: ``iou``, and ``psnr`` where there are images.

    ``dissimilarity`` and ``surface`` are those of the losses, where these have a weight.
    A learned refinement also has ``psnr_before``, of the splats that it starts from.
    """
    device = next(objective.parameters()).device
    late = objective.recipe.true_anchor_steps + 1  # the proposal's own anchors
    found: dict[str, list[float]] = {"iou": [], "psnr": [], "psnr_before": []}
    found |= {"dissimilarity": [], "surface": []}
    for index in range(len(source)):
        episode = source[FIRST_LAP * len(source) + index].to(device)
        terms = objective(episode, late, FIRST_LAP + index).terms
        for name in ("iou", "dissimilarity", "surface"):
            if name in terms:
                found[name].append(float(terms[name]))
        for name, error in (("psnr", "mse"), ("psnr_before", "mse_before")):
            if error in terms:
                found[name].append(-10 * math.log10(max(float(terms[error]), 1e-10)))
    return {name: statistics.fmean(values) for name, values in found.items() if values}


@contextmanager
def averaged(state: TrainingState, recipe: Recipe) -> Iterator[None]:
    """Put the moving average in the model's place inside the block, in evaluation mode."""
    kept = {name: value.detach().clone() for name, value in state.model.state_dict().items()}
    state.model.load_state_dict(state.average.weights)
    state.model.eval()
    try:
        yield
    finally:
        state.model.load_state_dict(kept)
        stages.prepare(state.model, recipe.stage)
