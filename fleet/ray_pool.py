"""A batch on Ray: Ray Data over the captures, through a pool of actors that each hold an engine.

Ray starts and replaces actors, schedules, retries and holds back; nothing of that is done here. The
captures of a worker that dies, or raises :class:`TryAgain`, are run again by Ray, as often as it
takes; a worker counts the attempts, and does not begin a fourth.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.cores import usable_cores
from geolrm.engine.system.extras import require
from geolrm.fleet.records import Record
from geolrm.fleet.tasks import Task, WorkerSettings
from geolrm.fleet.worker import Worker

MOST_BLOCKS = 20_000  # tasks of Ray at a time; of more captures a few are one task
IN_FLIGHT = 2  # captures of a worker: one in the engine, one being read
GROWING = 600.0  # seconds that a cluster has to bring a node that a worker fits on
OBJECT_STORE = 1 << 28  # bytes of a local cluster: tasks and records are small


class TryAgain(Exception):
    """Asks Ray to run a capture again; the record says what went wrong."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Where a batch runs, and how many workers it has.

    Raises:
        InputError: A number is out of its range.
    """

    address: str | None = None  # of a cluster; None: one on this machine, for this call
    workers: tuple[int, int | None] | None = None  # fewest and most; None: as many as fit
    cores: int = 1  # of each worker
    gpus: float = 0  # of each worker

    def __post_init__(self) -> None:
        if self.workers is not None:
            fewest, most = self.workers
            if fewest < 1 or (most is not None and most < fewest):
                said = f"{fewest}:{'' if most is None else most}"
                raise InputError(
                    f"workers are {said}; give a number from 1, or the fewest and the most as 1:8"
                )
        if self.cores < 1:
            raise InputError(f"cores are {self.cores}; each worker needs 1 or more")
        if not 0 <= self.gpus <= 64:
            raise InputError(f"gpus are {self.gpus:g}; give each worker 0 to 64, or a part of one")

    @property
    def needs_ray(self) -> bool:
        """Whether something was asked for that one process alone does not have."""
        return self.address is not None or self.workers is not None or self.own_share

    @property
    def own_share(self) -> bool:
        """Whether each worker is given other than one core."""
        return self.cores != 1 or self.gpus != 0

    def sizes(self, tasks: int, cores_here: int) -> dict[str, int | None]:
        """Return the arguments of Ray's ``ActorPoolStrategy`` for so many captures."""
        if self.workers is not None:
            fewest, most = self.workers
            return {"min_size": min(fewest, tasks), "max_size": most and min(most, tasks)}
        if self.address is None and not self.gpus:
            size = max(1, min(cores_here // self.cores, tasks))
            return {"min_size": size, "max_size": size}
        return {"min_size": 1, "max_size": tasks}


class RayWorker:
    """A worker as Ray Data calls it: batches of tasks in, batches of records out."""

    def __init__(self, settings: WorkerSettings):
        import ray

        node = ray.get_runtime_context().get_node_id()[:8]
        self.worker = Worker(settings, node=f"{platform.node()}/{node}")
        _ = self.worker.engine

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the tasks of a batch.

        What not even a record can be written of, as where the output's disk is full, has failed:
        Ray would run again for ever whatever is raised here.

        Raises:
            TryAgain: One failed, and may work another time.
        """
        records = []
        for text in batch["task"]:
            task = Task.from_json(str(text))
            try:
                outcome = self.worker.attempt(task)
            except Exception as error:
                outcome = self.worker.unwritten(task, error)
            if outcome.again:
                raise TryAgain(outcome.record.error)
            records.append(outcome.record.to_json())
        return {"record": np.array(records, dtype=object)}


@contextlib.contextmanager
def connected(pool: PoolSettings) -> Iterator[None]:
    """Be connected to the cluster, or to one of this machine's, while the block runs.

    Raises:
        GeoLRMError: Ray is not installed, or the cluster does not answer.
    """
    require("ray", "a batch on Ray", extra="fleet", instead="give --local")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    arguments: dict[str, Any] = {"address": pool.address}
    if pool.address is None:
        arguments = {
            "address": "local",
            "num_cpus": max(usable_cores(), pool.cores),
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
        }
    try:
        with _no_chatter():
            ray.init(**arguments, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError and more
        raise GeoLRMError(
            f"the Ray cluster at {pool.address or 'this machine'!r} cannot be used: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}; start it with "
            "ray start --head, or give --local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _no_chatter() -> Iterator[None]:
    """Keep from standard error what Ray's native part prints as it starts; errors are raised."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check_room(pool: PoolSettings, patience: float = GROWING, pause: float = 2.0) -> None:
    """See to it that a worker fits on a node: Ray would wait for ever for one.

    Args:
        pool: What a worker needs, and which cluster has it.
        patience: Seconds that the autoscaler of a cluster is given to bring a node.
        pause: Seconds between looks.

    Raises:
        InputError: No node has the cores or GPUs.
    """
    import ray
    from ray.autoscaler.sdk import request_resources

    def fits() -> bool:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(
            node.get("CPU", 0) >= pool.cores and node.get("GPU", 0) >= pool.gpus for node in alive
        )

    if fits():
        return
    deadline = time.monotonic() + patience
    if pool.address is not None:
        bundle = {"CPU": pool.cores} | ({"GPU": math.ceil(pool.gpus)} if pool.gpus else {})
        request_resources(bundles=[bundle])
        try:
            while time.monotonic() < deadline:
                if fits():
                    return
                time.sleep(pause)
        finally:
            request_resources(bundles=[])
    raise InputError(
        f"no node has what a worker needs: {pool.cores} cores and {pool.gpus:g} GPUs; give fewer "
        "--cores or --gpus, or add such a node"
    )


def run_on_ray(
    tasks: Iterable[Task], settings: WorkerSettings, pool: PoolSettings
) -> Iterator[Record]:
    """Do the tasks, in any order; yield a record for each that a worker lived to write.

    Raises:
        GeoLRMError: No worker could start.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError

    rows = [{"task": task.to_json()} for task in tasks]
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what Ray gives up does not end the rest
    context.actor_task_retry_on_errors = True
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    sizes = pool.sizes(len(rows), usable_cores())
    blocks = math.ceil(len(rows) / math.ceil(len(rows) / MOST_BLOCKS))
    found = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        RayWorker,
        batch_size=1,
        fn_constructor_args=(settings,),
        compute=ActorPoolStrategy(
            **sizes,
            max_tasks_in_flight_per_actor=IN_FLIGHT,
            max_concurrent_calls_per_actor=IN_FLIGHT,
            enable_true_multi_threading=True,
        ),
        num_cpus=pool.cores,
        num_gpus=pool.gpus or None,
    )
    try:
        for row in found.iter_rows():
            yield Record.from_json(row["record"])
    except RayError as error:
        cause = str(error).strip().splitlines()
        raise GeoLRMError(
            f"the workers could not go on: {cause[-1] if cause else type(error).__name__}; call "
            "again, which goes on from here"
        ) from error
