"""How a command ends: an error as one sentence, and the exit code that belongs to it."""

import contextlib
import errno
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from geolrm.engine.errors import BundleError, CheckpointError, GeoLRMError, InputError
from geolrm.engine.system.shown_text import shown

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
# What the machine lacks, whatever the input: room, quota, memory, open files, a sound disk.
LACKING = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "ENOMEM", "EMFILE", "ENFILE", "EIO")
    if hasattr(errno, name)
}
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries in Rust quote the system
# Signals that end a process at once, unless a handler lets it clear away what is unfinished.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def fail(message: str, code: int) -> NoReturn:
    """Print one sentence to standard error and leave."""
    print(f"error: {shown(message)}", file=sys.stderr)
    raise SystemExit(code)


def exit_code(error: BaseException) -> int:
    """Return 2 for what the caller can put right, 1 for the rest, a full disk among it."""
    kept = getattr(error, "exit_code", None)  # by a process that could not hand on the cause
    if isinstance(kept, int):
        return kept
    if not isinstance(error, InputError | BundleError | CheckpointError):
        return FAILED
    cause = error.__cause__
    quoted = OS_ERROR.search(str(cause)) if cause is not None else None
    number = int(quoted[1]) if quoted else getattr(cause, "errno", None)
    return FAILED if number in LACKING else BAD_INPUT


@contextlib.contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn what goes wrong into one sentence and an exit code: 2 for input, 1 for the rest.

    What the machine lacks is no input: a full disk ends with 1.

    An interrupt ends with 130; SIGTERM and SIGHUP with 143 and 129, as a shell says it, but what is
    unfinished is cleared away first.
    """
    interrupted = threading.Event()

    def interrupt(*_: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def end(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, interrupt)
    # nohup ignores SIGHUP, and so do we.
    ours = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    except BaseException as error:
        # Libraries turn an interrupt into errors of their own, so the signal itself is asked first.
        if interrupted.is_set():
            fail("interrupted; no unfinished file was left", INTERRUPTED)
        if isinstance(error, GeoLRMError):
            fail(str(error), exit_code(error))
        if isinstance(error, OSError) and error.filename is None:  # such as a full disk below >
            fail(f"cannot write to standard output: {error.strerror}", FAILED)
        if isinstance(error, OSError) and error.errno in LACKING:
            fail(f"{str(error.filename)!r}: {error.strerror}", FAILED)
        if isinstance(error, MemoryError):
            fail(f"out of memory; {_what_takes_less(error)}", FAILED)
        raise
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _what_takes_less(error: BaseException) -> str:
    """Find the advice of the command that ran: the constant OUT_OF_MEMORY of its module."""
    advice = "use smaller inputs, or a machine with more memory"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        advice = frame.f_globals.get("OUT_OF_MEMORY", advice)
    return advice
