"""How a command ends: an error as one sentence, and the exit code that belongs to it."""

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from geolrm.engine.errors import BundleError, CheckpointError, GeoLRMError, InputError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def fail(message: str, code: int) -> NoReturn:
    """Print one sentence to standard error and leave."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


@contextlib.contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn what goes wrong into one sentence and an exit code: 2 for input, 1 for the rest."""
    interrupted = threading.Event()

    def interrupt(*_: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except BaseException as error:
        # Libraries turn an interrupt into errors of their own, so the signal itself is asked first.
        if interrupted.is_set():
            fail("interrupted; no unfinished file was left", INTERRUPTED)
        if isinstance(error, InputError | BundleError | CheckpointError):
            fail(str(error), BAD_INPUT)
        if isinstance(error, GeoLRMError):
            fail(str(error), FAILED)
        if isinstance(error, OSError) and error.filename is None:  # such as a full disk below >
            fail(f"cannot write to standard output: {error.strerror}", FAILED)
        if isinstance(error, MemoryError):
            fail(f"out of memory; {_what_takes_less(error)}", FAILED)
        raise


def _what_takes_less(error: BaseException) -> str:
    """Find the advice of the command that ran: the constant OUT_OF_MEMORY of its module."""
    advice = "use smaller inputs, or a machine with more memory"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        advice = frame.f_globals.get("OUT_OF_MEMORY", advice)
    return advice
