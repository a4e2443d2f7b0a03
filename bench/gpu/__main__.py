"""``python -m geolrm.bench.gpu -o DIR``: first the GPU tests, then the figures."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from geolrm.bench.gpu import parts, timing
from geolrm.bench.gpu.report import Part, table, write
from geolrm.bench.gpu.targets import judge
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import check_writable
from geolrm.engine.system.present_gpu import present_gpu


def run(
    folder: Path, only: Sequence[str] = (), progress: Callable[[str], None] = print
) -> list[Part]:
    """Prove and measure; ``gpu.json`` and ``gpu.md`` are written anew after each part.

    Args:
        folder: Of the report, and of a log for each part.
        only: Names of :data:`parts.TASKS`; empty means all.
        progress: Called with a line for each part, and with the targets at the end.

    Raises:
        InputError: There is no such part, or the folder cannot be written.
        GeoLRMError: There is no GPU, or a part failed; what was measured is written before.
    """
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
    machine = timing.describe()
    done: list[Part] = []
    for name in parts.TASKS:
        if only and name not in only:
            continue
        progress(f"{parts.TASKS[name].title} ...")
        done.append(parts.run_apart(name, folder))
        progress(f"{done[-1].name}: {done[-1].status}")
        machine["clocks after"] = timing.clocks()
        write(folder, machine, done, judge(done))
    progress("\n".join(table([verdict.row() for verdict in judge(done)])))
    failed = [part.name for part in done if part.failed]
    if failed:
        raise GeoLRMError(f"{', '.join(failed)} failed; see {folder / 'gpu.md'}")
    return done


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.bench.gpu")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[], help="one part; may be repeated")
    parser.add_argument("--part", choices=parts.TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        parts.run_here(options.part, options.output)
        return
    try:
        run(options.output, options.only)
    except GeoLRMError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error


if __name__ == "__main__":
    main()
