"""What every command shares: its version, tables and progress."""

import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geolrm.engine.errors import InputError
from geolrm.engine.system.exit_codes import BAD_INPUT, FAILED, fail
from geolrm.engine.system.shown_text import shown
from geolrm.engine.system.user_warnings import warn

if TYPE_CHECKING:
    from geolrm.engine.gaussians.gaussians import Gaussians

CAPTURE_HELP = (
    "transforms.json (NeRF, nerfstudio), a COLMAP sparse model, a GObjaverse folder, images with "
    "poses.npy, an SV3D clip or its 21 frames, or a Zero123++ sheet; the kind is recognised."
)
SOURCE_HELP = f"A folder of photographs or a video, whose poses are found; or {CAPTURE_HELP}"


def print_version(wanted: bool) -> None:
    """Answer ``--version`` and leave."""
    if wanted:
        print(f"geolrm {importlib.metadata.version('geolrm')}")
        raise SystemExit(0)


Version = Annotated[
    bool,
    typer.Option("--version", callback=print_version, is_eager=True, help="Show the version."),
]


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None, name: str | None = None):
    """Run a command line; its errors of usage end as all others do, in a sentence with code 2.

    Args:
        app: The commands.
        arguments: Those of the process where there are none.
        name: Of the program, where it is not that of the process.
    """
    try:
        code = app(arguments, prog_name=name, standalone_mode=False)
    except typer.Abort:
        fail("aborted; nothing was done", FAILED)
    except Exception as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}  # of a click of typer's own
        if "NoArgsIsHelpError" in kinds:  # and the help was printed
            raise SystemExit(BAD_INPUT) from None
        if "ClickException" not in kinds:
            raise
        context: Any = getattr(error, "ctx", None)
        if context is not None:
            print(shown(context.get_usage()), file=sys.stderr)
            print(f"try: {shown(context.command_path)} --help", file=sys.stderr)
        fail(error.format_message(), BAD_INPUT)  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(code, int) and code:
        raise SystemExit(code)


def say(line: str) -> None:
    """Print a line on standard output; what a terminal would obey is shown instead."""
    print(shown(line))


@contextlib.contextmanager
def steps(enabled: bool = True) -> Iterator[Callable[[str], None]]:
    """Show the current step: a spinner on a terminal, plain lines elsewhere, on standard error."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not enabled:
        yield lambda message: None
    elif console.is_terminal:
        with console.status("starting") as status:
            yield lambda message: status.update(Text(shown(message)))
    else:
        yield lambda message: print(f"{shown(message)} ...", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_bar(title: str, total: int, enabled: bool = True) -> Iterator[Callable[[], None]]:
    """Show progress: a bar on a terminal, one plain line elsewhere, on standard error."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    drawn = enabled and console.is_terminal
    if enabled and not drawn:
        print(f"{shown(title)} ...", file=sys.stderr, flush=True)
    with Progress(console=console, disable=not drawn) as progress:
        task = progress.add_task(escape(shown(title)), total=total)
        yield lambda: progress.advance(task)


def check_not_input(output: Path, source: Path) -> None:
    """Refuse to replace the file that is read: its splats would be lost."""
    try:
        same = output.samefile(source)
    except OSError:  # one of them is not there
        return
    if same:
        raise InputError(f"output {str(output)!r} is the input file itself; name another")


def counted(count: int, noun: str) -> str:
    """Count in words: ``1 Gaussian``, ``2,000 Gaussians``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def warn_if_empty(gaussians: "Gaussians", source: Path, outcome: str) -> None:
    """Warn in one line where there is nothing to see; the files are written all the same."""
    if not len(gaussians):
        warn(f"{str(source)!r} holds no Gaussians, and so {outcome}")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on standard output, its first column to the left, the others to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(title=escape(shown(title)), title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(Text(shown(str(cell))) for cell in row))  # no markup of rich's
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(table)


def print_json(content: Any) -> None:
    """Print machine-readable output on standard output."""
    print(json.dumps(content, indent=1))
