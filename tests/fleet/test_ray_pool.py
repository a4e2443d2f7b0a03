"""Batches on Ray: a cluster of three nodes on this machine, parts of which are killed."""

import sys

import pytest
from harness.processes import call_here
from samples.small_captures import write_captures

from geolrm import GeoLRMError, InputError
from geolrm.bench.fleet_kills import HEAD, engine_workers, kill
from geolrm.fleet.batch import run_batch
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.ray_pool import PoolSettings, connected
from geolrm.fleet.records import DONE, read_lines

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


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_worker_and_a_node_that_die_cost_nothing_but_time(tmp_path):
    """Both while captures are in flight; every result has the bits of a run in one process."""
    from ray.cluster_utils import Cluster

    names = "abcdefgh"
    captures = write_captures(tmp_path / "captures", names)
    broken = write_captures(tmp_path / "captures", ["broken"]) / "broken"
    (broken / "transforms.json").write_text("{")
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    try:
        nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        seen = []

        def report(record, progress):
            if record is None:
                return
            seen.append(record)
            if len(seen) == 1:
                kill(engine_workers(raylets)[0])
            elif len(seen) == 3:
                gone = next(i for i, r in enumerate(raylets) if engine_workers([r]))
                cluster.remove_node(nodes[gone], allow_graceful=False)

        summary = run_batch(
            [captures], tmp_path / "out", options=QUICK, pages=False, report=report,
            pool=PoolSettings(address=cluster.address, workers=(2, 2)),
        )  # fmt: skip
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
    assert (summary.done, summary.failed, summary.kept) == (8, 1, 0)
    assert [failure.id for failure in summary.failures] == ["broken"]
    assert sorted(record.id for record in seen) == sorted([*names, "broken"])  # each once
    lines = read_lines((tmp_path / "out/results.jsonl").read_text())
    assert {name for name, record in lines.items() if record.status == DONE} == {*names}
    assert len({record.node for record in lines.values()}) == 2
    done = call_here("geolrm", "batch", captures, "-o", tmp_path / "here", "--local", "--views", 2,
                     "--max-tokens", 32, "--refine", 0, "--no-view")  # fmt: skip
    assert done.returncode == 1, done.stderr
    for name in names:
        ours = (tmp_path / "out" / "captures" / f"{name}.ply").read_bytes()
        assert ours == (tmp_path / "here" / "captures" / f"{name}.ply").read_bytes()
    assert not list((tmp_path / "out" / "captures").glob(".*"))
