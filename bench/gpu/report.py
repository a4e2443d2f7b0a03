"""The parts of a GPU benchmark, what became of each, and how they are written."""

import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geolrm.engine.atomic import atomic_file
from geolrm.engine.errors import GeoLRMError


class NotRun(Exception):
    """A part that cannot be run here; the message says why."""


@dataclass
class Part:
    """One part of the benchmark."""

    name: str
    status: str  # "passed", "measured", "failed: ...", "not run: ..."
    rows: list[dict[str, Any]] = field(default_factory=list)


def run_part(name: str, measure: Callable[[], list[dict[str, Any]]], done: str) -> Part:
    """Run a part; whatever happens becomes its status, so that the others still run."""
    try:
        return Part(name, done, measure())
    except NotRun as error:
        return Part(name, f"not run: {error}")
    except ImportError as error:
        return Part(name, f"not run: {error.name or error} is not installed")
    except GeoLRMError as error:
        return Part(name, f"failed: {error}")
    except Exception as error:  # of a library; the others still run
        traceback.print_exc()
        return Part(name, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def to_markdown(machine: dict[str, Any], parts: list[Part]) -> str:
    """A page with one section a part."""
    lines = ["# GPU benchmark", "", *(f"* {key}: {value}" for key, value in machine.items()), ""]
    for part in parts:
        lines += [f"## {part.name}", "", part.status, ""]
        if part.rows:
            columns = list(dict.fromkeys(key for row in part.rows for key in row))
            lines.append("| " + " | ".join(columns) + " |")
            lines.append("|" + " --- |" * len(columns))
            for row in part.rows:
                cells = (row.get(column, "") for column in columns)
                lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
            lines.append("")
    return "\n".join(lines)


def write(folder: Path, machine: dict[str, Any], parts: list[Part]) -> None:
    """``gpu.json`` and ``gpu.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "parts": [asdict(part) for part in parts]}
    for name, text in (
        ("gpu.json", json.dumps(content, indent=1)),
        ("gpu.md", to_markdown(machine, parts)),
    ):
        with atomic_file(folder / name) as file:
            file.write(text.encode())


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
