"""The training loop: examples, losses, steps, checkpoints; the same on one process or many."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.export.model import GeoLRM
from geolrm.export.model.attention import use_attention
from geolrm.export.model.cross_attention import use_sampler
from geolrm.training import ranks, stages
from geolrm.training.attention import multi_head_attention
from geolrm.training.config import Recipe
from geolrm.training.deformable_sampling import sample_and_weigh
from geolrm.training.episodes import Episode
from geolrm.training.learner import Learner
from geolrm.training.objective import Objective, Outcome
from geolrm.training.optimizer import MovingAverage, learning_rate, make_optimizer
from geolrm.training.precision import reduce_precision, reduces
from geolrm.training.ranks import Process
from geolrm.training.rendering import RasterizerName, choose_rasterizer
from geolrm.training.run_folder import RunFolder
from geolrm.training.state import TrainingState

FROZEN = {
    "reconstruction": "the proposal",
    "refinement": "the model that it refines",
    "closing": "the model that it refines",
}


class TrainingDiverged(GeoLRMError, RuntimeError):
    """A loss or a gradient is no number."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals at which checkpoints (0: after every step) and sample images are written.

    ``validation_steps`` lie between two measurements on objects set aside, where there are any.
    """

    checkpoint_seconds: float = 120.0
    sample_steps: int = 200
    validation_steps: int = 500


Source = Any  # number -> Episode
Report = Callable[[dict[str, Any]], None]
Show = Callable[[int, Episode, Outcome], None]
Validate = Callable[[Objective, TrainingState], Any]


def train(
    recipe: Recipe,
    source: Source,
    folder: RunFolder,
    *,
    process: Process = Process(),
    intervals: Intervals = Intervals(),
    report: Report = lambda record: None,
    show: Show = lambda step, episode, outcome: None,
    stop: Callable[[], bool] = lambda: False,
    initial: dict[str, torch.Tensor] | None = None,
    rasterizer: RasterizerName = "auto",
    validate: Validate | None = None,
) -> TrainingState:
    """Run the recipe to its end, from the folder's last checkpoint if it has one.

    Args:
        recipe: What to train.
        source: Maps an example's number to the example.
        folder: Where rank 0 reads and writes.
        process: This process.
        intervals: Of checkpoints and sample images.
        report: Called by rank 0 with the record of each step.
        show: Called by rank 0 with the last example after the first step, then every
            ``sample_steps``, and at the end.
        stop: Asked after each step; True ends the run early, with a checkpoint.
        initial: Weights to start from instead of random ones; rank 0's count.
        rasterizer: What renders the targets.
        validate: Called by rank 0 every ``validation_steps``, and at the end of the recipe.

    Raises:
        TrainingDiverged: A loss is no number; names the step, the objects and the last checkpoint.
    """
    state = start(recipe, folder, process, initial)
    rasterize = choose_rasterizer(rasterizer, process.device, process.threads)
    objective = Objective(state.model, recipe, rasterize, process.device, process.threads)
    objective = objective.to(process.device)
    alone = learns_alone(recipe)
    parallel = objective if alone else ranks.parallel(objective, process)
    saved = time.monotonic()
    while state.step < recipe.steps:
        started = time.monotonic()
        with fast_operators(recipe, process):
            outcome, record, episode = run_step(recipe, parallel, state, source, process)
        record["seconds"] = round(time.monotonic() - started, 4)
        broken = not (math.isfinite(record["total"]) and math.isfinite(record["gradient"]))
        ending, diverged = ranks.agreed(process, stop(), broken)
        if diverged:
            raise divergence(record, folder, process)
        if alone:
            ranks.average(state, process)
        state.step += 1
        ending = ending or state.step == recipe.steps
        if process.rank == 0:
            folder.log(record)
            report(record)
            if ending or time.monotonic() - saved > intervals.checkpoint_seconds:
                folder.save(state)
                folder.save_weights(state, recipe.model)
                saved = time.monotonic()
            if state.step % intervals.sample_steps == 0 or state.step == 1 or ending:
                show(state.step, episode, outcome)
            due = state.step % intervals.validation_steps == 0 or state.step == recipe.steps
            if validate is not None and due:
                with fast_operators(recipe, process):
                    validate(objective, state)
        if ending:
            break
    return state


def start(
    recipe: Recipe,
    folder: RunFolder,
    process: Process,
    initial: dict[str, torch.Tensor] | None,
) -> TrainingState:
    """Restore the folder's last checkpoint, or start anew; the same on every process.

    Raises:
        InputError: The run is longer already, or a stage lacks the checkpoint it starts from.
    """
    torch.manual_seed(recipe.seed)
    model = GeoLRM(recipe.model)
    if initial is not None:
        model.load_state_dict(initial)
    stages.prepare(model, recipe.stage)
    model.to(process.device)
    if reduces(recipe.precision, process.device):
        reduce_precision(model)
    if recipe.recompute:
        stages.recompute_blocks(model)
    optimizer = make_optimizer(model, recipe.optimizer)
    state = TrainingState(model, optimizer, MovingAverage(model, recipe.optimizer.average))
    if process.rank == 0:
        resumed = folder.resume(state)
        if state.step > recipe.steps:
            raise InputError(
                f"the run in {str(folder.path)!r} is at step {state.step}, beyond the "
                f"{recipe.steps} asked for; give more steps"
            )
        if recipe.stage in FROZEN and initial is None and not resumed:
            raise InputError(
                f"stage is {recipe.stage!r}, which freezes {FROZEN[recipe.stage]}; give the "
                "checkpoint of a trained one with --initial"
            )
    ranks.share(state, process)
    return state


@contextlib.contextmanager
def fast_operators(recipe: Recipe, process: Process) -> Iterator[None]:
    """Use our own sampling on the CPU, and in bf16 our own attention, inside the block."""
    with contextlib.ExitStack() as stack:
        if process.device.type == "cpu":
            stack.enter_context(use_sampler(sample_and_weigh))
            if reduces(recipe.precision, process.device):
                stack.enter_context(use_attention(multi_head_attention))
        yield


def learns_alone(recipe: Recipe) -> bool:
    """Tell whether each process learns from its own examples until the end of a step.

    A refinement's weights change after each of the steps that it takes on an object.
    """
    return recipe.refines


def run_step(
    recipe: Recipe, objective: Any, state: TrainingState, source: Source, process: Process
) -> tuple[Outcome, dict[str, Any], Episode]:
    """Learn from this process's examples of one step.

    Returns:
        The outcome of the last example, the record of the step, and the last example.
    """
    rate = learning_rate(state.step, recipe.steps, recipe.optimizer)
    learner = Learner(state, recipe.optimizer, rate)
    sums: dict[str, float] = {}
    names = []
    count = recipe.objects_per_step
    for turn in range(count):
        number = (state.step * count + turn) * process.count + process.rank
        episode = source[number].to(process.device)
        # Dropout draws from torch's own generator, so a resumed run must find it as it was.
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        if learns_alone(recipe):
            outcome: Outcome = objective(episode, state.step, number, learner.learn)
        else:
            # Gradients of the processes meet once a step, with those of the last example.
            with contextlib.nullcontext() if turn == count - 1 else ranks.apart(objective):
                outcome = objective(episode, state.step, number)
                learner.add(outcome.total / count)
        names.append(episode.name)
        for name, term in (*outcome.terms.items(), ("total", outcome.total)):
            sums[name] = sums.get(name, 0.0) + float(term.detach()) / count
    if not learns_alone(recipe):
        learner.step()
    record = {"step": state.step, "rate": rate, "gradient": learner.norm, "objects": names, **sums}
    return outcome, record, episode


def divergence(record: dict[str, Any], folder: RunFolder, process: Process) -> TrainingDiverged:
    """Make the error that names step, objects of all processes, terms and last checkpoint."""
    terms = {k: v for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)}
    found = ranks.gathered((record["objects"], sorted(terms)), process)
    guilty = [entry for entry in found if set(entry[1]) - {"gradient"}] or found
    objects = ", ".join(dict.fromkeys(name for entry in guilty for name in entry[0]))
    names = ", ".join(dict.fromkeys(name for entry in guilty for name in entry[1]))
    good = next(iter(folder.checkpoints()), None)
    return TrainingDiverged(
        f"training diverged at step {record['step']}: {names} of the batch ({objects}) is no "
        f"number; the last good checkpoint is "
        f"{repr(str(good)) if good else 'none, the run had not saved one'}: lower "
        "optimizer.learning_rate or check these objects"
    )
