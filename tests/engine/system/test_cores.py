import os

import pytest

from geolrm.engine.system import cores
from geolrm.engine.system.cores import usable_cores, useful_threads


def test_an_affinity_counts_where_the_system_has_one(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Control groups of a container on a machine with 8 cores, written by the test."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "CONTROL_GROUPS", tmp_path / "sys")
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")
    cores._granted_time.cache_clear()

    def write(own, **limits):
        (tmp_path / "own").write_text(own)
        for name, text in limits.items():
            path = tmp_path / "sys" / name.replace("__", "/").replace("cpu_", "cpu.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    cores._granted_time.cache_clear()


def test_a_container_counts_as_the_cores_that_its_time_fills(groups):
    groups("0::/a/b\n", a__cpu_max="250000 100000\n", a__b__cpu_max="max 100000\n")
    assert usable_cores() == 3
    assert [useful_threads(asked) for asked in (None, 1, 3, 64)] == [3, 1, 3, 3]


def test_the_first_version_of_control_groups_counts_too(groups):
    limits = {"cpu__cpu_cfs_quota_us": "150000\n", "cpu__cpu_cfs_period_us": "100000\n"}
    groups("4:memory:/x\n2:cpuacct,cpu:/x\n0::/\n", **limits)
    assert usable_cores() == 2


@pytest.mark.parametrize("limit", ["max 100000", "800000 100000", "nonsense", "0 100000", "1 0"])
def test_a_grant_that_does_not_bind_leaves_all_cores(groups, limit):
    groups("0::/\n", cpu_max=limit)
    assert usable_cores() == 8


def test_a_grant_below_one_core_leaves_one(groups):
    groups("0::/\n", cpu_max="10000 100000")
    assert usable_cores() == useful_threads(None) == useful_threads(2) == 1


def test_without_control_groups_all_cores_count(groups):
    assert usable_cores() == 8
