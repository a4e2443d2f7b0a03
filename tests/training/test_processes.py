"""Signals and deaths of whole runs are in test_interrupts.py."""

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
    with processes.on_interrupt(lambda: calls.append(1)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert calls == [1, 1]
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
