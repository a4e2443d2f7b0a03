"""``python -m geolrm.bench.gpu -o DIR``: first the figures that have targets."""

import argparse
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from geolrm.bench.gpu import parts, timing
from geolrm.bench.gpu.choices import LIMIT, SECONDS, Choices, parse_settings
from geolrm.bench.gpu.report import Part, table, write
from geolrm.bench.gpu.targets import judge
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import atomic_file, check_writable
from geolrm.engine.system.present_gpu import present_gpu


def run(
    folder: Path,
    only: Sequence[str] = (),
    progress: Callable[[str], None] = print,
    choices: Choices | None = None,
) -> list[Part]:
    """Prove and measure.

    Three files are written: ``gpu.json`` and ``gpu.md``, anew with each row, and ``logs.tar.gz``,
    anew with each part.

    Args:
        folder: Of the report.
        only: Names of :data:`parts.TASKS`; empty means all.
        progress: Called with a line for each part, and with the targets at the end.
        choices: Settings, seconds a figure, and seconds of all; None takes the defaults.

    Raises:
        InputError: There is no such part, or the folder cannot be written.
        GeoLRMError: There is no GPU, or a part failed; what was measured is written before.
    """
    chosen = choices or Choices()
    unknown = [name for name in only if name not in parts.TASKS]
    if unknown:
        raise InputError(f"--only is {unknown[0]!r}; it must be one of {', '.join(parts.TASKS)}")
    try:
        present_gpu()
    except GeoLRMError as error:
        raise GeoLRMError(
            f"the GPU benchmark needs an NVIDIA GPU, but {error}; run it on a machine with one"
        ) from error
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder with -o")
    check_writable(folder / "gpu.json")
    folder.mkdir(parents=True, exist_ok=True)
    logs = Path(tempfile.mkdtemp(prefix="geolrm-bench-logs-"))
    try:
        done = _run_all(folder, logs, [n for n in parts.TASKS if not only or n in only], chosen,
                        progress)  # fmt: skip
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    progress("\n".join(table([verdict.row() for verdict in judge(done)])))
    failed = [part.name for part in done if part.failed]
    if failed:
        raise GeoLRMError(f"{', '.join(failed)} failed; see {folder / 'gpu.md'}")
    return done


def _run_all(
    folder: Path, logs: Path, names: Sequence[str], choices: Choices,
    progress: Callable[[str], None],
) -> list[Part]:  # fmt: skip
    """Run the parts within the limit of all; the report grows with each of their rows."""
    machine, end = timing.describe(), time.monotonic() + choices.limit
    done: list[Part] = []

    def show(part: Part) -> None:
        write(folder, machine, [*done, part], judge([*done, part]))

    for name in names:
        task = parts.TASKS[name]
        progress(f"{task.title} ...")
        limit = min(end - time.monotonic(), task.share * choices.limit)
        done.append(parts.run_apart(name, logs, limit, choices, show))
        progress(f"{done[-1].name}: {done[-1].status}")
        machine["clocks after"] = timing.clocks()
        write(folder, machine, done, judge(done))
        _pack_logs(logs, folder / parts.LOGS)
    return done


def _pack_logs(logs: Path, target: Path) -> None:
    with atomic_file(target) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for log in sorted(logs.glob("*.log")):
            archive.add(log, log.name)


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.bench.gpu")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[], help="one part; may be repeated")
    parser.add_argument("--settings", help="views x anchors, such as 21x16384,6x8192")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="at most, for one figure")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of all parts together")
    parser.add_argument("--part", choices=parts.TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        choices = Choices(parse_settings(options.settings), options.seconds, options.limit)
        if options.part:
            parts.run_here(options.part, options.output, choices)
        else:
            run(options.output, options.only, choices=choices)
    except GeoLRMError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error


if __name__ == "__main__":
    main()
