"""Batches on Ray: a cluster of three nodes on this machine, parts of which are killed."""

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from samples.small_captures import write_capture, write_captures

from geolrm import GeoLRMError, InputError
from geolrm.bench.fleet_kills import HEAD, engine_workers, kill
from geolrm.fleet.attempts import ENDED
from geolrm.fleet.batch import run_batch
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.ray_pool import PoolSettings, RayWorker, TryAgain, check_room, connected
from geolrm.fleet.records import DONE, FAILED, Record, read_lines
from geolrm.fleet.sources import Source
from geolrm.fleet.tasks import Outcome, Task, WorkerSettings
from geolrm.fleet.worker import Worker

QUICK = CaptureOptions(views="2", max_tokens=32, refine=0)


@pytest.mark.parametrize(
    ("pool", "tasks", "sizes"),
    [
        (PoolSettings(), 100, (8, 8)),
        (PoolSettings(cores=3), 100, (2, 2)),
        (PoolSettings(cores=16), 100, (1, 1)),
        (PoolSettings(), 3, (3, 3)),
        (PoolSettings(workers=(2, 5)), 100, (2, 5)),
        (PoolSettings(workers=(2, None)), 100, (2, None)),
        (PoolSettings(workers=(4, 6)), 3, (3, 3)),
        (PoolSettings(address="auto"), 100, (1, 100)),
        (PoolSettings(gpus=1), 100, (1, 100)),
    ],
)
def test_a_pool_has_as_many_workers_as_fit(pool, tasks, sizes):
    found = pool.sizes(tasks, cores_here=8)
    assert (found["min_size"], found["max_size"]) == sizes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": (0, 1)},
         "workers are 0:1; give a number from 1, or the fewest and the most as 1:8"),
        ({"workers": (3, 2)},
         "workers are 3:2; give a number from 1, or the fewest and the most as 1:8"),
        ({"cores": 0}, "cores are 0; each worker needs 1 or more"),
        ({"gpus": -1}, "gpus are -1; give each worker 0 to 64, or a part of one"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(settings, said):
    with pytest.raises(InputError) as raised:
        PoolSettings(**settings)
    assert str(raised.value) == said


def test_without_ray_one_sentence(monkeypatch):
    import importlib.metadata

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(GeoLRMError) as raised, connected(PoolSettings()):
        pass
    assert str(raised.value) == (
        "a batch on Ray needs ray, which is not installed; run: pip install 'geolrm[fleet]', or "
        "give --local"
    )


def nodes(*sizes):
    return [{"Alive": alive, "Resources": {"CPU": c, "GPU": g}} for c, g, alive in sizes]


@pytest.fixture
def scaler(monkeypatch):
    """A cluster of given nodes, one listing after another; what the autoscaler is asked for."""
    import ray
    import ray.autoscaler.sdk

    listings, asked = [], []
    monkeypatch.setattr(ray, "nodes", lambda: listings.pop(0) if listings[1:] else listings[0])
    monkeypatch.setattr(
        ray.autoscaler.sdk, "request_resources", lambda bundles: asked.append(bundles)
    )
    return listings, asked


def test_a_worker_that_fits_nowhere_is_refused(scaler):
    listings, asked = scaler
    listings.append(nodes((2.0, 0, True), (1.0, 1.0, True), (8.0, 8.0, False)))
    for pool in (PoolSettings(cores=2), PoolSettings(gpus=0.5), PoolSettings(gpus=1)):
        check_room(pool)
    for pool, said in (
        (PoolSettings(cores=3), "3 cores and 0 GPUs"),
        (PoolSettings(cores=2, gpus=0.5), "2 cores and 0.5 GPUs"),  # no node has both
        (PoolSettings(cores=3, address="auto"), "3 cores and 0 GPUs"),
    ):
        with pytest.raises(InputError) as raised:
            check_room(pool, patience=0.02, pause=0.01)
        assert str(raised.value) == (
            f"no node has what a worker needs: {said}; give fewer --cores or --gpus, or add such "
            "a node"
        )
    assert asked == [[{"CPU": 3}], []]  # and nothing is left asked for


def test_a_cluster_that_grows_is_asked_for_a_node(scaler):
    listings, asked = scaler
    small = nodes((2.0, 0, True))
    listings.extend([small, small, nodes((2.0, 0, True), (4.0, 1.0, True))])
    check_room(PoolSettings(cores=4, gpus=0.5, address="auto"), patience=30, pause=0.001)
    assert asked == [[{"CPU": 4, "GPU": 1}], []]


def on_ray(attempt, unwritten=None):
    """A worker as Ray calls it, without Ray and without an engine."""
    made = object.__new__(RayWorker)
    made.worker = SimpleNamespace(attempt=attempt, unwritten=unwritten)
    return made


def one_task():
    return Task(Source("a", "/a", QUICK))


def test_a_worker_asks_ray_only_for_what_may_work_another_time():
    failed = Record("a", "/a", FAILED, error="weather")
    batch = {"task": [one_task().to_json()]}
    with pytest.raises(TryAgain, match=r"^weather$"):
        on_ray(lambda task: Outcome(failed, again=True))(batch)
    (line,) = on_ray(lambda task: Outcome(failed))(batch)["record"]
    assert Record.from_json(line) == failed


def test_an_output_that_takes_no_record_is_no_reason_to_begin_again(tmp_path):
    """Ray would run for ever what raises because its disk is full."""

    def full(task):
        raise OSError(28, "No space left on device")

    worker = Worker(WorkerSettings(str(tmp_path / "out"), "mini", "", call="c"))
    made = on_ray(full, worker.unwritten)
    (line,) = made({"task": [one_task().to_json()]})["record"]
    record = Record.from_json(line)
    assert record.status == FAILED and record.call == "c" and not (tmp_path / "out").exists()
    assert record.error.startswith("unexpected OSError in test_ray_pool.py:")
    assert record.error.endswith(": [Errno 28] No space left on device")


def holder(lock):
    """The process that holds a lock file, None where nobody does."""
    try:
        wanted = str(lock.stat().st_ino)
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and fields[5].rsplit(":", 1)[1] == wanted:
            return int(fields[4])
    return None


class Poison(threading.Thread):
    """Kills whatever worker has begun a capture, each time."""

    def __init__(self, output, name):
        super().__init__()
        self.marker = output / ".attempts" / name
        self.lock = output / ".locks" / f"capture-{name}.lock"
        self.kills, self.ended = [], threading.Event()

    def run(self):
        while not self.ended.wait(0.01):
            try:
                begun = self.marker.read_text()
            except OSError:
                continue
            if begun not in self.kills and (pid := holder(self.lock)) is not None:
                self.kills.append(begun)
                kill(pid)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_workers_and_a_node_that_die_cost_nothing_but_time(tmp_path):
    """Captures in flight beside what dies have the bits of a run in one process, and only once.

    One capture ends its worker whenever it is begun, and is given up; another is wrong.
    """
    from ray.cluster_utils import Cluster

    names = "abcdefgh"
    captures = write_captures(tmp_path / "captures", names)
    write_capture(captures / "poison")
    broken = write_capture(captures / "broken")
    (broken / "transforms.json").write_text("{")
    lines = [{"capture": "poison", "refine": 5000}, *({"capture": name} for name in names)]
    lines.insert(5, {"capture": "broken"})
    (captures / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    poison = Poison(tmp_path / "out", "poison")
    poison.start()
    try:
        nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        seen = []

        def report(record, progress):
            seen.extend([] if record is None else [record])
            if len(seen) == 3 and record is not None:
                gone = next(i for i, r in enumerate(raylets) if engine_workers([r]))
                cluster.remove_node(nodes[gone], allow_graceful=False)

        summary = run_batch(
            [captures / "all.jsonl"], tmp_path / "out", options=QUICK, pages=False, report=report,
            pool=PoolSettings(address=cluster.address, workers=(2, 2)),
        )  # fmt: skip
    finally:
        poison.ended.set()
        poison.join()
        import ray

        ray.shutdown()
        cluster.shutdown()
    assert (summary.done, summary.failed, summary.kept) == (8, 2, 0)
    failures = {failure.id: failure for failure in summary.failures}
    assert failures["poison"].error == ENDED and failures["poison"].attempts == 3
    assert len(poison.kills) == 3 and failures["broken"].attempts == 1
    assert sorted(record.id for record in seen) == sorted([*names, "broken", "poison"])
    found = read_lines((tmp_path / "out/results.jsonl").read_text())
    assert {name for name, record in found.items() if record.status == DONE} == {*names}
    run_batch([captures / name for name in names], tmp_path / "here", options=QUICK, pages=False,
              local=True)  # fmt: skip
    for name in names:
        ours = (tmp_path / "out" / "captures" / f"{name}.ply").read_bytes()
        assert ours == (tmp_path / "here" / "captures" / f"{name}.ply").read_bytes()
    assert not list((tmp_path / "out" / "captures").glob(".*"))
