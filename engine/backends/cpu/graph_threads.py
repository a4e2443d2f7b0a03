"""The threads of graphs on the CPU: two parts of each operation, whatever ``threads`` says.

ONNX Runtime divides an operation among the threads of its pool, and some round differently at
another number of parts: a convolution sums in other pieces, the last values of a part take another
form of ``log``. So their number never follows from ``threads`` or from the machine: it is
:data:`PARTS`, and the bits are the same everywhere. Nobody spins: a worker that waits sleeps.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = 2  # and threads: the caller, and one of the session's

_TASKS = Path("/proc/self/task")
_numbers = itertools.count()


class GraphThreads:
    """The threads of one session.

    Args:
        threads: Of the engine. With one, the session's own thread takes turns with the caller on
            the core that the caller is on: on Linux, as elsewhere nothing binds a thread to a core.
    """

    def __init__(self, threads: int):
        self._alone = threads == 1
        self._workers: list[int] = []

    def configure(self, options: Any) -> None:
        """Set the threads of ONNX Runtime's ``SessionOptions``."""
        options.intra_op_num_threads = PARTS
        options.inter_op_num_threads = 1
        # A worker that spins takes the core from whoever has work: kernels, other engines, other
        # programs. The pool that sessions could share always spins, as Python opens it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Find the threads that the session starts within: Linux names them as their starter."""
        own = _TASKS / str(threading.get_native_id()) / "comm"
        if not self._alone or not own.exists():
            yield
            return
        name, mark = own.read_bytes().rstrip(b"\n"), f"graph-{next(_numbers):x}".encode()[:15]
        own.write_bytes(mark)
        try:
            yield
        finally:
            own.write_bytes(name)
        for task in _TASKS.iterdir():
            with contextlib.suppress(OSError):  # it has ended
                if (task / "comm").read_bytes().rstrip(b"\n") == mark:
                    self._workers.append(int(task.name))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep to one core within, if the engine has one thread."""
        if not self._workers:
            yield
            return
        allowed = os.sched_getaffinity(0)
        core = {_system().sched_getcpu()}
        try:
            for thread in (*self._workers, 0):  # 0: who calls
                _bind(thread, core)
            yield
        finally:
            _bind(0, allowed)


def _bind(thread: int, cores: set[int]) -> None:
    with contextlib.suppress(OSError):  # those cores were just taken from the process
        os.sched_setaffinity(thread, cores)


@functools.cache
def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None)
