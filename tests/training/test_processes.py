"""Signals and deaths of whole runs are in test_interrupts.py."""

import json
import os
import signal
import socket

import pytest
from torch.multiprocessing.spawn import ProcessExitedException

from geolrm.training import processes


def test_a_free_port_can_be_taken():
    port = processes.free_port()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_calls_once_and_a_second_interrupts():
    calls, before = [], signal.getsignal(signal.SIGINT)
    with processes.on_interrupt(calls.append):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert calls == [signal.SIGTERM, signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("died", "text"),
    [
        ({"signal_name": "SIGKILL"}, "ended by SIGKILL (perhaps for lack of memory); the same"),
        ({"exit_code": 3}, "process 1 of the training ended by exit code 3; the same command"),
    ],
)
def test_a_death_is_one_sentence(died, text):
    error = ProcessExitedException(
        "", error_index=1, error_pid=7, exit_code=died.get("exit_code", -9),
        signal_name=died.get("signal_name"),
    )  # fmt: skip
    assert text in processes._death(error)


def write_environment(rank, port, path):
    found = {name: os.environ.get(name) for name in processes.ALLOCATOR}
    path.write_text(json.dumps(found))


def test_the_allocators_settings_are_those_of_the_children_alone(tmp_path, monkeypatch):
    own = dict(processes.ALLOCATOR) | {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}
    monkeypatch.setenv("GLIBC_TUNABLES", own["GLIBC_TUNABLES"])  # what is there stays
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    processes.run_processes(write_environment, tmp_path / "found", 1)
    assert json.loads((tmp_path / "found").read_text()) == own
    assert dict(os.environ) == before
