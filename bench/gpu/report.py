"""The report of the GPU benchmark: what became of each part, as JSON and Markdown."""

import json
import math
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geolrm.bench.gpu.targets import Verdict
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.atomic import atomic_file

Row = dict[str, Any]


class NotRun(Exception):
    """A part that cannot be run here; the message says why."""


@dataclass
class Part:
    """One part of the benchmark."""

    name: str
    status: str  # "passed", "measured", "running", "failed: ...", "not run: ..."
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kernels: list[Row] = field(default_factory=list)  # what the profiler saw

    @property
    def failed(self) -> bool:
        """Whether something broke, rather than being absent."""
        return self.status.startswith("failed")


class Recorder:
    """What a part measures into: each row is on disk as soon as it is known.

    Args:
        part: That grows.
        path: Of a file of JSON that is written anew each time; None keeps the part in memory.
    """

    def __init__(self, part: Part, path: Path | None = None):
        self.part, self._path = part, path

    def add(self, row: Row) -> Row:
        """Append a row, which may be filled further: see :meth:`keep`."""
        self.part.rows.append(row)
        self.keep()
        return row

    def extend(self, rows: Iterable[Row]) -> None:
        """Append rows one by one, each as it is made."""
        for row in rows:
            self.add(row)

    def profile(self, rows: list[Row]) -> None:
        """Set the table of the profiler."""
        self.part.kernels = rows
        self.keep()

    def note(self, line: str) -> None:
        """Append a line below the status."""
        self.part.notes.append(line)
        self.keep()

    def keep(self) -> None:
        """Write what there is; a reader sees it whole or as it was."""
        if self._path is not None:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(_finite(asdict(self.part))), encoding="utf-8")
            os.replace(fresh, self._path)


def run_part(
    name: str, measure: Callable[[Recorder], None], done: str, path: Path | None = None
) -> Part:
    """Run a part; whatever happens becomes its status, so that the others still run.

    Args:
        name: Of the part.
        measure: Records rows, so that those before a failure are kept.
        done: The status of a part that came to its end.
        path: Where the part is written as it grows.
    """
    part = Part(name, "running")
    recorder = Recorder(part, path)
    recorder.keep()
    try:
        measure(recorder)
        part.status = done
    except NotRun as error:
        part.status = f"not run: {error}"
    except ImportError as error:
        part.status = f"not run: {error.name or error} is not installed"
    except GeoLRMError as error:
        part.status = f"failed: {error}"
    except Exception as error:  # of a library; the others still run
        traceback.print_exc()
        reason = " ".join(str(error).split())[:300]
        part.status = f"failed: {type(error).__name__}: {reason}"
    recorder.keep()
    return part


def to_markdown(machine: Row, parts: list[Part], verdicts: list[Verdict]) -> str:
    """Write a page: the machine, the targets, the comparison, a section for each part."""
    lines = ["# GPU benchmark", "", *(f"* {key}: {value}" for key, value in machine.items()), ""]
    lines += ["## Targets, for an H200-class GPU", "", *table([v.row() for v in verdicts])]
    compared = comparison(parts)
    if compared:
        lines += ["## Whole engine, p50 in ms, and how many times as long torch takes", ""]
        lines += table(compared)
    for part in parts:
        lines += [f"## {part.name}", "", part.status, ""]
        lines += [f"* {note}" for note in part.notes] + ([""] if part.notes else [])
        lines += table(part.rows)
        if part.kernels:
            lines += ["### Where the GPU's time goes", "", *table(part.kernels)]
    return "\n".join(lines)


def table(rows: list[Row]) -> list[str]:
    """Write rows as Markdown; a column for each key of any."""
    if not rows:
        return []
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = (_cell(row.get(column, "")) for column in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def comparison(parts: list[Part]) -> list[Row]:
    """Put the parts that time the whole engine side by side, a row for each setting."""
    whole = [part for part in parts if any({"V", "N"} <= row.keys() for row in part.rows)]
    if len(whole) < 2:
        return []
    settings = dict.fromkeys((r["V"], r["N"]) for part in whole for r in part.rows)
    rows = []
    for views, anchors in settings:
        row: Row = {"V": views, "N": anchors}
        times = {p.name: _of(p, views, anchors) for p in whole}
        row |= {name: time for name, time in times.items() if time is not None}
        engines = {n: t for n, t in times.items() if t is not None and n.startswith("Engine")}
        for name, time in times.items():
            if time is not None and engines and not name.startswith("Engine"):
                row[f"{name} / fastest engine"] = time / min(engines.values())
        rows.append(row)
    return rows


def _of(part: Part, views: int, anchors: int) -> float | None:
    found = [row.get("p50 ms") for row in part.rows if (row["V"], row["N"]) == (views, anchors)]
    return found[0] if found else None


def write(folder: Path, machine: Row, parts: list[Part], verdicts: list[Verdict]) -> None:
    """Write ``gpu.json`` and ``gpu.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine,
        "targets": [verdict.row() for verdict in verdicts],
        "parts": [asdict(part) for part in parts],
    }
    for name, text in (
        ("gpu.json", json.dumps(_finite(content), indent=1) + "\n"),
        ("gpu.md", to_markdown(machine, parts, verdicts)),
    ):
        with atomic_file(folder / name) as file:
            file.write(text.encode())


def _finite(content: Any) -> Any:
    """Replace NaN and infinity, which JSON has not, by None."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")
