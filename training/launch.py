"""Start the processes of a run: one, several on this machine, or those of torchrun."""

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from geolrm.export.checkpoint import load_checkpoint
from geolrm.training.config import Recipe
from geolrm.training.data.sources import load_source
from geolrm.training.loop import Intervals, Process, train
from geolrm.training.pictures import draw_curves, draw_sample
from geolrm.training.run_folder import RunFolder
from geolrm.training.version import code_version


@dataclass(frozen=True, slots=True)
class Launch:
    """What the command line asks for."""

    recipe: Recipe
    data: tuple[Path, ...]
    folder: Path
    processes: int = 1
    threads: int = 1
    device: str = "cpu"
    seconds: float | None = None  # stop after so long, with a checkpoint
    initial: Path | None = None  # checkpoint to start from
    quiet: bool = False


# Every step frees and takes back gigabytes; without these glibc returns them to the system each
# time, and a quarter of the time goes into page faults. They are read when a process starts.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def launch(options: Launch) -> None:
    """Run to the end on this machine's processes, or as one of torchrun's."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        dist.init_process_group("nccl" if options.device == "cuda" else "gloo")
        rank = dist.get_rank()
        local = int(os.environ.get("LOCAL_RANK", rank))
        work(options, Process(rank, dist.get_world_size(), options.threads, device(options, local)))
    else:
        for name, value in ALLOCATOR.items():
            os.environ.setdefault(name, value)
        multiprocessing.spawn(join, (options, free_port()), options.processes)


def join(rank: int, options: Launch, port: int) -> None:
    """Body of a spawned process."""
    process = Process(rank, options.processes, options.threads, device(options, rank))
    if options.processes == 1:
        work(options, process)
        return
    backend = "nccl" if options.device == "cuda" else "gloo"
    dist.init_process_group(
        backend, f"tcp://127.0.0.1:{port}", rank=rank, world_size=options.processes
    )
    work(options, process)
    dist.destroy_process_group()


def work(options: Launch, process: Process) -> None:
    """One process's share of the run."""
    torch.set_num_threads(process.threads)
    recipe, folder = options.recipe, RunFolder(options.folder)
    if process.rank == 0:
        folder.start(recipe, code_version())
    source = load_source(options.data, recipe)
    initial = None
    if options.initial is not None:
        initial = load_checkpoint(options.initial, recipe.model)[0].state_dict()
    started = time.monotonic()
    interrupted = []
    signal.signal(signal.SIGTERM, lambda *_: interrupted.append("TERM"))
    signal.signal(signal.SIGINT, lambda *_: interrupted.append("INT"))

    def stop() -> bool:
        late = options.seconds is not None and time.monotonic() - started > options.seconds
        return late or bool(interrupted)

    report = Progress(recipe.steps, options.quiet)

    def picture(step: int, episode: Any, outcome: Any) -> None:
        draw_sample(options.folder / "samples" / f"step{step:07d}.png", episode, outcome)
        draw_curves(options.folder / "curves.png", folder.records())

    train(
        recipe, source, folder, process=process, intervals=Intervals(), report=report,
        picture=picture, stop=stop, initial=initial,
    )  # fmt: skip


class Progress:
    """A line on stderr now and then: step, losses, time to go."""

    def __init__(self, steps: int, quiet: bool):
        self.steps, self.quiet = steps, quiet
        self.seconds = 0.0
        self.shown = 0.0

    def __call__(self, record: dict[str, Any]) -> None:
        pace = record["seconds"]
        self.seconds = pace if self.seconds == 0 else 0.95 * self.seconds + 0.05 * pace
        now = time.monotonic()
        if self.quiet or now - self.shown < 5:
            return
        self.shown = now
        left = int((self.steps - record["step"] - 1) * self.seconds)
        print(
            f"step {record['step'] + 1}/{self.steps}  loss {record['total']:.3f}  "
            f"mse {record['mse']:.4f}  iou {record['iou']:.3f}  {self.seconds:.2f} s/step  "
            f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} to go",
            flush=True,
        )


def device(options: Launch, local_rank: int) -> torch.device:
    """This process's device."""
    return torch.device("cpu") if options.device == "cpu" else torch.device("cuda", local_rank)


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
