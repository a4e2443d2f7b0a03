"""Rows kept as they are made, so that an interrupted benchmark goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geolrm.engine.errors import InputError

Record = dict[str, Any]


class Records:
    """The rows of a benchmark, in a file of JSON lines where there is one.

    Args:
        path: The file; what it holds already is read. None keeps rows in memory alone.
        facts: What all rows must share, the version for example; it is the first line.

    Raises:
        InputError: The file is of other facts, or no file of rows.
    """

    def __init__(self, path: Path | None, facts: Record):
        self._path = path
        self.rows: list[Record] = []
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path) if path.is_file() else []
        if lines:
            if lines[0] != facts:
                raise InputError(
                    f"{str(path)!r} holds rows of {json.dumps(lines[0])}, and these are of "
                    f"{json.dumps(facts)}; give another folder, or remove the file"
                )
            self.rows = lines[1:]
        text = "".join(json.dumps(line) + "\n" for line in [facts, *self.rows])
        path.write_text(text, encoding="utf-8")  # without a line that an interrupt cut

    def find(self, **keys: Any) -> Record | None:
        """Return the row with these values, if there is one."""
        for row in self.rows:
            if keys.items() <= row.items():
                return row
        return None

    def of(self, part: str) -> list[Record]:
        """Return the rows of one part, in the order in which they were made."""
        return [row for row in self.rows if row["part"] == part]

    def add(self, part: str, row: Any, **keys: Any) -> Record:
        """Keep a row, a dataclass, with further keys; return it as a record."""
        record = {"part": part, **keys, **asdict(row)}
        self.rows.append(record)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return record


def _whole_lines(path: Path) -> list[Record]:
    """Read a file's lines; the last one may be cut short."""
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        found = [json.loads(line) for line in lines]
        whole = all(isinstance(line, dict) for line in found)
    except ValueError:
        found, whole = [], False
    if not whole:
        raise InputError(f"{str(path)!r} is no file of rows; remove it, or give another folder")
    return found
