"""The training loop: examples, losses, steps, checkpoints; the same on one process or many."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from geolrm.engine.errors import InputError
from geolrm.export.model import GeoLRM
from geolrm.export.model.attention import use_attention
from geolrm.export.model.cross_attention import use_sampler
from geolrm.training.attention import multi_head_attention
from geolrm.training.config import Recipe
from geolrm.training.deformable_sampling import sample_and_weigh
from geolrm.training.episodes import Episode
from geolrm.training.objective import Objective, Outcome
from geolrm.training.optimizer import (
    MovingAverage,
    clip_gradients,
    learning_rate,
    make_optimizer,
)
from geolrm.training.precision import reduce_precision
from geolrm.training.run_folder import RunFolder, TrainingState


class TrainingDiverged(RuntimeError):
    """A loss or a gradient is no number."""


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that share a run."""

    rank: int = 0
    count: int = 1
    threads: int = 1
    device: torch.device = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often things are written, in steps (checkpoints: seconds)."""

    checkpoint_seconds: float = 120.0
    pictures: int = 200


Report = Callable[[dict[str, Any]], None]
Picture = Callable[[int, Episode, Outcome], None]


def train(
    recipe: Recipe,
    source: Any,  # number -> Episode
    folder: RunFolder,
    *,
    process: Process = Process(),
    intervals: Intervals = Intervals(),
    report: Report = lambda record: None,
    picture: Picture = lambda step, episode, outcome: None,
    stop: Callable[[], bool] = lambda: False,
    initial: dict[str, torch.Tensor] | None = None,
) -> TrainingState:
    """Run the recipe to its end, from the folder's last checkpoint if it has one.

    Args:
        recipe: What to train.
        source: Maps an example's number to the example.
        folder: Where rank 0 writes.
        process: This process.
        intervals: Of checkpoints and pictures.
        report: Called by rank 0 with the record of each step.
        picture: Called by rank 0 now and then.
        stop: Asked after each step; True ends the run early, with a checkpoint.
        initial: Weights to start from instead of random ones.

    Raises:
        TrainingDiverged: A loss is no number; names the step, the objects and the last checkpoint.
    """
    torch.manual_seed(recipe.seed)
    model = GeoLRM(recipe.model).train()
    if initial is not None:
        model.load_state_dict(initial)
    model.to(process.device)
    if recipe.precision == "bf16":
        reduce_precision(model)
    objective = Objective(model, recipe, process.threads).to(process.device)
    state = TrainingState(
        model, make_optimizer(model, recipe.optimizer), MovingAverage(model, recipe.optimizer.average)
    )
    folder.resume(state)
    if state.step > recipe.steps:
        raise InputError(
            f"the run in {str(folder.path)!r} is at step {state.step}, beyond the {recipe.steps} "
            "asked for; give more steps"
        )
    parallel = DistributedDataParallel(objective) if process.count > 1 else objective
    saved = time.monotonic()
    while state.step < recipe.steps:
        started = time.monotonic()
        with fast_operators(recipe, process):
            outcome, record, episode = run_step(recipe, parallel, state, source, process)
        record["seconds"] = round(time.monotonic() - started, 4)
        check_finite(record, episode, folder)
        state.step += 1
        if process.rank == 0:
            folder.log(record)
            report(record)
            if state.step % intervals.pictures == 0 or state.step == 1:
                picture(state.step, episode, outcome)
        ending = agreed(stop(), process) or state.step == recipe.steps
        if process.rank == 0 and (
            ending or time.monotonic() - saved > intervals.checkpoint_seconds
        ):
            folder.save(state)
            folder.save_weights(state, recipe.model)
            saved = time.monotonic()
        if ending:
            break
    return state


@contextlib.contextmanager
def fast_operators(recipe: Recipe, process: Process) -> Iterator[None]:
    """On the CPU: our own sampling, and in bf16 our own attention."""
    with contextlib.ExitStack() as stack:
        if process.device.type == "cpu":
            stack.enter_context(use_sampler(sample_and_weigh))
            if recipe.precision == "bf16":
                stack.enter_context(use_attention(multi_head_attention))
        yield


def run_step(
    recipe: Recipe, objective: Any, state: TrainingState, source: Any, process: Process
) -> tuple[Outcome, dict[str, Any], Episode]:
    """One optimizer step over this process's examples; returns the last one's outcome."""
    rate = learning_rate(state.step, recipe.steps, recipe.optimizer)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    sums: dict[str, float] = {}
    names = []
    count = recipe.objects_per_step
    for turn in range(count):
        number = (state.step * count + turn) * process.count + process.rank
        episode = source[number].to(process.device)
        outcome: Outcome = objective(episode, state.step, number)
        (outcome.total / count).backward()
        names.append(episode.name)
        for name, term in (*outcome.terms.items(), ("total", outcome.total)):
            sums[name] = sums.get(name, 0.0) + float(term.detach()) / count
    gradient = clip_gradients(state.model, recipe.optimizer.clip)
    record = {"step": state.step, "rate": rate, "gradient": gradient, "objects": names, **sums}
    if math.isfinite(gradient) and math.isfinite(sums["total"]):
        state.optimizer.step()
        state.average.update(state.model, state.step)
    state.optimizer.zero_grad(set_to_none=True)
    return outcome, record, episode


def check_finite(record: dict[str, Any], episode: Episode, folder: RunFolder) -> None:
    """Stop on a loss or gradient that is no number."""
    if math.isfinite(record["total"]) and math.isfinite(record["gradient"]):
        return
    good = next(iter(folder.checkpoints()), None)
    terms = {k: v for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)}
    raise TrainingDiverged(
        f"step {record['step']} on {', '.join(record['objects'])} is no number ({terms}); the last "
        f"good checkpoint is {good if good else 'none: the run had not saved one'}"
    )


def agreed(wish: bool, process: Process) -> bool:
    """True on every process as soon as it is on one."""
    if process.count == 1:
        return wish
    flag = torch.tensor(float(wish), device=process.device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())
