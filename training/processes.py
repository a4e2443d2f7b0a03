"""The processes of a run on this machine: their parent starts, interrupts and outlives them."""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, spawn

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.exit_codes import exit_code
from geolrm.engine.system.user_warnings import show_warnings

POLL_SECONDS = 0.2
Body = Callable[[int, int, Any], None]  # rank, port, options

# Every step frees and takes back gigabytes; without these glibc returns them to the system each
# time, and a quarter of the time goes into page faults. They are read when a process starts.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def run_processes(body: Body, options: Any, count: int) -> int | None:
    """Run ``body`` in processes of their own; an interrupt lets each finish its step.

    Returns:
        The signal that interrupted them; None: none did.

    Raises:
        GeoLRMError: What a process raised, as if it had been raised here.
    """
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    arguments = (body, options, free_port(), errors)
    # Children inherit both: the handlers until they are ready to stop.
    with _handled_by(signal.SIG_IGN), _environment(ALLOCATOR):
        context = spawn(_enter, arguments, count, join=False)
    assert context is not None, "spawn waits for the processes only if it is told to"
    interrupted: list[int] = []
    with on_interrupt(interrupted.append):
        try:
            while not context.join(timeout=POLL_SECONDS):
                if interrupted:
                    _pass_on(context)
        except Exception as error:
            if not errors.empty():
                raise errors.get() from None
            if isinstance(error, ProcessExitedException):
                raise GeoLRMError(_death(error)) from None
            raise
    return interrupted[0] if interrupted else None


@contextlib.contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Let children that are started inside the block find these variables, or those there are."""
    missing = [name for name in defaults if name not in os.environ]
    os.environ.update({name: defaults[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _enter(rank: int, body: Body, options: Any, port: int, errors: Any) -> None:
    """Run a child; errors that are meant for the user travel to the parent whole."""
    with _plain_warnings(rank):
        try:
            body(rank, port, options)
        except GeoLRMError as error:
            error.exit_code = exit_code(error)  # pyright: ignore[reportAttributeAccessIssue]
            errors.put(error)
            end_process(1)
    end_process(0)


def leave_group() -> None:
    """Leave the process group once every process has come this far."""
    dist.barrier()  # whoever leaves first would break what the others still say to each other
    dist.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """End a process whose work is on disk.

    The interpreter's own end would run destructors of libraries whose threads still live: gloo's
    abort the process now and then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def on_interrupt(call: Callable[[int], Any]) -> Iterator[None]:
    """Call with the signal instead of dying at SIGINT or SIGTERM; a second SIGINT interrupts."""

    def handle(number: int, _: Any) -> None:
        call(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled_by(handle):
        yield


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, Any], None] | signal.Handlers) -> Iterator[None]:
    """Let the handler have SIGINT and SIGTERM inside the block."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def _plain_warnings(rank: int) -> Iterator[None]:
    """Show warnings of rank 0 as plain lines; the others have the same ones, and show none."""
    with show_warnings():
        if rank > 0:
            warnings.simplefilter("ignore")
        yield


def _pass_on(context: ProcessContext) -> None:
    """Ask the children to stop; again and again, since one that is starting up ignores it."""
    for process in context.processes:
        if process.is_alive():
            process.terminate()
    time.sleep(POLL_SECONDS)


def _death(error: ProcessExitedException) -> str:
    how = error.signal_name or f"exit code {error.exit_code}"
    hint = " (perhaps for lack of memory)" if how == "SIGKILL" else ""
    return (
        f"process {error.error_index} of the training ended by {how}{hint}; the same command "
        "goes on from the last checkpoint"
    )


def free_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
