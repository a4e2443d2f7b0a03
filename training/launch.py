"""Start a run: in processes on this machine, or as one of torchrun's."""

import contextlib
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from geolrm.engine.errors import InputError
from geolrm.engine.system.cores import usable_cores
from geolrm.engine.system.file_lock import locked
from geolrm.engine.system.shown_text import shown
from geolrm.export.checkpoint import load_checkpoint
from geolrm.training import gsplat_backend
from geolrm.training.config import Recipe
from geolrm.training.data.prefetch import Prefetched
from geolrm.training.episodes import Episode
from geolrm.training.loop import Intervals, train
from geolrm.training.objective import Outcome
from geolrm.training.processes import end_process, leave_group, on_interrupt, run_processes
from geolrm.training.progress import Progress
from geolrm.training.ranks import Process
from geolrm.training.rendering import RasterizerName
from geolrm.training.run_folder import WEIGHTS_NAME, RunFolder
from geolrm.training.sample_images import save_curves, save_sample
from geolrm.training.sources import EpisodeSource, find_objects, load_source, weighed_path
from geolrm.training.validation import Validation, set_aside
from geolrm.training.version import code_version

WORKERS = {"cpu": 0, "cuda": 4}  # threads that make examples ahead; a CPU is busy enough
LOCK_NAME = ".lock"
LOCK_PATIENCE = 60.0  # seconds; processes that lost their parent save and leave within a step


@dataclass(frozen=True, slots=True)
class Launch:
    """The options of a run, as the command line gives them."""

    recipe: Recipe
    data: tuple[str, ...]
    folder: Path
    processes: int = 1
    threads: int | None = None  # of each process; None shares the cores out
    device: str = "auto"
    seconds: float | None = None  # stop after so long, with a checkpoint
    initial: Path | None = None  # checkpoint to start from
    rasterizer: RasterizerName = "auto"
    workers: int | None = None  # threads that make examples ahead, of each process
    cache: Path | None = None  # folder of decoded meshes
    left_out: tuple[str, ...] = ()  # patterns of names that are not read
    validation: int = 0  # objects of the first of `data` that are set aside
    intervals: Intervals = field(default_factory=Intervals)
    quiet: bool = False
    as_json: bool = False  # the outcome as JSON on standard output, the steps on standard error


def launch(options: Launch) -> int | None:
    """Run to the end, or until interrupted.

    Returns:
        The signal that interrupted the run; None: none did.

    Raises:
        GeoLRMError: Something is missing, damaged or diverged; one sentence says what.
    """
    kind = device_kind(options)
    RunFolder(options.folder).check(options.recipe)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        place = device(kind, int(os.environ.get("LOCAL_RANK", os.environ["RANK"])))
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        process = Process(dist.get_rank(), dist.get_world_size(), threads(options, local), place)
        if process.rank > 0:
            warnings.simplefilter("ignore")  # rank 0 has the same ones
        work(options, process)
        leave_group()
        end_process(0)
    else:
        return run_processes(join, options, options.processes)


def join(rank: int, port: int, options: Launch) -> None:
    """Work as one of the processes of this machine; their group meets at the port."""
    kind, count = device_kind(options), options.processes
    process = Process(rank, count, threads(options, count), device(kind, rank))
    if count == 1:
        work(options, process)
        return
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, f"tcp://127.0.0.1:{port}", rank=rank, world_size=count)
    work(options, process)
    leave_group()


def work(options: Launch, process: Process) -> None:
    """Do one process's share of the run."""
    started = time.monotonic()
    interrupted: list[int] = []
    torch.set_num_threads(process.threads)
    recipe, folder = options.recipe, RunFolder(options.folder)
    report = Progress(recipe.steps, options.quiet, stream=sys.stderr if options.as_json else None)

    def stop() -> bool:
        late = options.seconds is not None and time.monotonic() - started > options.seconds
        return late or bool(interrupted)

    def show(step: int, episode: Episode, outcome: Outcome) -> None:
        save_sample(options.folder / "samples" / f"step{step:07d}.png", episode, outcome)
        save_curves(options.folder / "curves.png", folder.records())

    with contextlib.ExitStack() as stack:
        stack.enter_context(on_interrupt(interrupted.append))
        source: Any
        source, aside = load_data(options)
        validate = None
        if process.rank == 0:
            folder.start(recipe, code_version())
            refusal = (
                f"another process trains in {str(folder.path)!r}; wait for it, or choose another "
                "folder"
            )
            lock = folder.path / LOCK_NAME
            stack.enter_context(locked(lock, refusal, patience=LOCK_PATIENCE))
            folder.check_data(source.names)
            if aside is not None:
                validate = Validation(aside, recipe, folder)
        initial = None
        if options.initial is not None:
            torch.manual_seed(recipe.seed)  # of an update network that the checkpoint lacks
            initial = load_checkpoint(options.initial, recipe.model)[0].state_dict()
        workers = WORKERS[process.device.type] if options.workers is None else options.workers
        if workers:
            source = Prefetched(source, workers, process.count)
        state = train(
            recipe, source, folder, process=process, intervals=options.intervals, report=report,
            show=show, stop=stop, initial=initial, rasterizer=options.rasterizer, validate=validate,
        )  # fmt: skip
        if workers:
            source.close()
    if process.rank == 0 and not options.quiet:
        done = state.step == recipe.steps
        if options.as_json:
            return print(json.dumps(summary(options, state.step, done), indent=1))
        end = "done" if done else "stopped; the same command goes on from here"
        line = f"step {state.step}/{recipe.steps}, {end}: {options.folder / WEIGHTS_NAME}"
        print(shown(line))


def load_data(options: Launch) -> tuple[EpisodeSource, EpisodeSource | None]:
    """Load what is trained on and, where objects are set aside, those.

    Raises:
        InputError: Nothing is left to train on.
    """
    wanted = lambda name: not any(fnmatchcase(name, p) for p in options.left_out)  # noqa: E731
    if not options.validation:
        return load_source(options.data, options.recipe, options.cache, wanted), None
    first = weighed_path(options.data[0])[0]
    names = [name for name, _ in find_objects(first, options.recipe.seed) if wanted(name)]
    aside = set_aside(names, options.validation)
    trained = lambda name: wanted(name) and name not in aside  # noqa: E731
    if len(aside) == len(set(names)) and len(options.data) == 1:
        raise InputError(
            f"--validation is {options.validation}, but {str(first)!r} has {len(aside)} objects; "
            "leave some to train on"
        )
    return (
        load_source(options.data, options.recipe, options.cache, trained),
        load_source([first], options.recipe, options.cache, aside.__contains__),
    )


def summary(options: Launch, step: int, done: bool) -> dict[str, Any]:
    """Sum up what a run came to, for ``--json``."""
    records = RunFolder(options.folder).records()
    return {
        "folder": str(options.folder),
        "step": step,
        "steps": options.recipe.steps,
        "done": done,
        "loss": records[-1]["total"] if records else None,
        "weights": str(options.folder / WEIGHTS_NAME),
    }


def device_kind(options: Launch) -> str:
    """Choose ``cpu`` or ``cuda``, and check that it is there.

    Raises:
        GeoLRMError: CUDA is asked for and not there, or gsplat is not.
    """
    available = torch.cuda.is_available()
    kind = options.device
    if kind == "auto":
        kind = "cuda" if available else "cpu"
    if kind == "cpu" and options.rasterizer == "gsplat":
        raise InputError(
            "--rasterizer is 'gsplat', which renders on CUDA alone, but the run is on the CPU; "
            "leave it out, or give --device cuda"
        )
    if kind == "cpu":
        return kind
    if not available:
        raise InputError(
            "--device is 'cuda', but torch finds no CUDA device; use --device cpu, or install a "
            "build of torch for this machine's GPU"
        )
    if options.processes > torch.cuda.device_count():
        raise InputError(
            f"--processes is {options.processes}, but there are {torch.cuda.device_count()} CUDA "
            "devices; each process needs one"
        )
    if options.rasterizer != "cpu":
        gsplat_backend.import_gsplat()
    return kind


def device(kind: str, local_rank: int) -> torch.device:
    """Choose this process's device."""
    if kind == "cpu":
        return torch.device("cpu")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def threads(options: Launch, processes: int) -> int:
    """Return the threads of each of the processes on this machine."""
    if options.threads is not None:
        return options.threads
    return max(1, usable_cores() // processes)
