"""What every command shares: exit codes, errors in one sentence, tables and progress."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from geolrm.engine.errors import BundleError, CheckpointError, GeoLRMError, InputError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
CAPTURE_HELP = (
    "transforms.json (NeRF, nerfstudio), a COLMAP sparse model, a GObjaverse folder, images with "
    "poses.npy, an SV3D clip or its 21 frames, or a Zero123++ sheet; the kind is recognised."
)


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
            fail("interrupted; nothing was written", INTERRUPTED)
        if isinstance(error, InputError | BundleError | CheckpointError):
            fail(str(error), BAD_INPUT)
        if isinstance(error, GeoLRMError):
            fail(str(error), FAILED)
        if isinstance(error, MemoryError):
            fail("out of memory; use fewer views or a smaller --max-tokens", FAILED)
        raise


@contextlib.contextmanager
def steps(enabled: bool = True) -> Iterator[Callable[[str], None]]:
    """A spinner with the current step on a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled:
        yield lambda message: None
    elif console.is_terminal:
        with console.status("starting") as status:
            yield lambda message: status.update(message)
    else:
        yield lambda message: print(f"{message} ...", file=sys.stderr, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output; the first column is text, the others are numbers or words."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(table)


def print_json(content: Any) -> None:
    """Machine-readable output on standard output."""
    print(json.dumps(content, indent=1))
