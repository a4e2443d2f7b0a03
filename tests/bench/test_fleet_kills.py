import random
import subprocess
import sys
import time

import pytest

from geolrm.bench import fleet
from geolrm.bench.fleet_kills import Kill, Watch, descendants, engine_workers, kill, run_kills
from geolrm.fleet.records import DONE, Record

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


def test_a_watch_counts_what_a_call_records_twice(tmp_path):
    (tmp_path / "captures").mkdir()

    def write(name, call):
        time.sleep(0.01)  # or the time of the file would be the same
        record = Record(name, "", DONE, call=call)
        (tmp_path / "captures" / f"{name}.json").write_text(record.to_json())
        watch.look()

    watch = Watch(tmp_path)
    for name, call in (("a", "1"), ("b", "1"), ("a", "2")):
        write(name, call)
        watch.look()
    assert watch.twice == 0
    write("b", "1")
    assert watch.twice == 1


def test_kills_are_sound_where_nothing_is_missing():
    assert Kill("node", 2, results=3, identical=3).sound
    assert not Kill("node", 2, results=3, identical=2).sound
    assert not Kill("node", 2, results=3, identical=3, leftovers=1).sound
    assert not Kill("node", 2, results=3, identical=3, twice=1).sound


def test_processes_are_found_below_their_parents():
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    child = int(parent.stdout.readline())
    try:
        assert descendants(parent.pid) == [child] and engine_workers([parent.pid]) == []
    finally:
        kill(child)
        parent.communicate("")
    kill(child)  # is gone: nothing happens


@pytest.mark.long  # a minute and a half: three batches on a cluster, each called twice
def test_a_driver_a_worker_and_a_node_are_killed(tmp_path):
    fleet.write_captures(tmp_path / "captures", 6)
    seed = random.randrange(1000)
    kills = [*run_kills(tmp_path / "captures", tmp_path, 3, seed)]
    assert [each.kind for each in kills] == ["driver", "worker", "node"], seed
    for each in kills:
        assert each.sound and each.results == 6, (seed, each)
        assert each.completed == (each.kind != "driver"), (seed, each)
