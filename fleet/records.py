"""What is known of each capture of a batch: a record beside its files, and a table of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from geolrm.engine.errors import InputError
from geolrm.engine.system.extras import installed_version, require

DONE, FAILED, BUSY = "done", "failed", "busy"
FILE = re.compile(r"captures/[^/\\\0]+")
LONGEST_ERROR = 2000  # characters of a sentence


@dataclass(frozen=True, slots=True)
class Record:
    """One line of ``results.jsonl``."""

    id: str
    source: str  # path or URL
    status: str  # "done" or "failed"; "busy" while another call has it, which is not written
    content_hash: str = ""  # of the files and the options: what decides on the bits
    error: str | None = None  # the sentence
    attempts: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage
    gaussians: int | None = None
    psnr: float | None = None  # dB, the mean over the views that the model saw
    peak_memory_mb: float | None = None  # of the process that ran it
    node: str = ""
    backend: str = ""
    threads: int | None = None
    views: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    splats: str | None = None  # files, relative to the output
    page: str | None = None
    thumbnail: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # those that are not the default
    stamp: str = ""  # of the files' names, sizes and times, and of the options
    call: str = ""  # that made it
    finished: str = ""  # UTC
    version: str = ""  # of geolrm

    @property
    def files(self) -> tuple[str, ...]:
        """The files that a result has."""
        return tuple(name for name in (self.splats, self.page, self.thumbnail) if name is not None)

    def to_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(asdict(self), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Record:
        """Read a line; fields of other versions are left out.

        Raises:
            ValueError: It is no record.
        """
        content = json.loads(text)
        known = {each.name for each in fields(Record)}
        if not isinstance(content, dict) or not {"id", "source", "status"} <= set(content):
            raise ValueError("it is no record")
        kept = {name: value for name, value in content.items() if name in known}
        for name in ("views", "notes"):
            kept[name] = tuple(kept.get(name) or ())
        for name in ("id", "source", "status", "content_hash", "stamp", "call", "finished"):
            if not isinstance(kept.get(name, ""), str):
                raise ValueError(f"{name} is no text")
        for name in ("splats", "page", "thumbnail"):
            file = kept.get(name)
            if file is not None and not FILE.fullmatch(file):  # nothing else is ever removed
                raise ValueError(f"{name} is no name of a file")
        return Record(**kept)


def now() -> str:
    """Return the time as records have it: UTC, and in the order of their text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_record(text: str | None) -> Record | None:
    """Read a record; None where there is none, or none that can be read, which is as good."""
    try:
        return None if text is None else Record.from_json(text)
    except (ValueError, TypeError, RecursionError):
        return None


def read_lines(text: str | None) -> dict[str, Record]:
    """Read ``results.jsonl``, by id; damaged lines are left out."""
    lines = (text or "").splitlines()
    return {record.id: record for line in lines if (record := read_record(line)) is not None}


def write_lines(records: Iterable[Record]) -> bytes:
    """Make ``results.jsonl``, ordered by id."""
    ordered = sorted(records, key=lambda record: record.id)
    return "".join(f"{record.to_json()}\n" for record in ordered).encode()


def can_write_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return installed_version("pyarrow") is not None


def write_parquet(records: Iterable[Record]) -> bytes:
    """Make ``results.parquet``: the same fields; stage times as a map, options as JSON."""
    require("pyarrow", "a table in Parquet", extra="fleet", instead="read results.jsonl")
    import pyarrow
    from pyarrow import parquet

    text, number = pyarrow.string(), pyarrow.float64()
    kinds = {
        "attempts": pyarrow.int64(), "gaussians": pyarrow.int64(), "threads": pyarrow.int64(),
        "psnr": number, "peak_memory_mb": number, "seconds": pyarrow.map_(text, number),
        "views": pyarrow.list_(pyarrow.int64()), "notes": pyarrow.list_(text),
    }  # fmt: skip
    schema = pyarrow.schema([(each.name, kinds.get(each.name, text)) for each in fields(Record)])
    rows = []
    for record in sorted(records, key=lambda record: record.id):
        row = asdict(record)
        row |= {"seconds": [*record.seconds.items()], "options": json.dumps(row["options"])}
        row |= {"views": list(record.views), "notes": [*map(_printable, record.notes)]}
        rows.append({name: _printable(value) for name, value in row.items()})
    try:
        table = pyarrow.Table.from_pylist(rows, schema=schema)
    except (pyarrow.ArrowException, TypeError, AttributeError) as error:
        raise InputError(f"results.jsonl holds other fields than it should: {error}; "
                         "remove it and call again") from error  # fmt: skip
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


def _printable(value: Any) -> Any:
    """Write out the bytes of names that are not UTF-8, which Parquet does not hold."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
