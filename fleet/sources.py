"""The captures that a batch is asked for: folders, globs, zip files and lists."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from geolrm.engine.captures.images import IMAGE_SUFFIXES
from geolrm.engine.captures.video import CONTAINERS
from geolrm.engine.errors import InputError
from geolrm.engine.system.extras import require
from geolrm.fleet.archives import WINDOWS_NAMES
from geolrm.fleet.locations import Location
from geolrm.fleet.options import CaptureOptions

ZIP, JSONL, PARQUET = ".zip", (".jsonl", ".ndjson"), ".parquet"
MARKERS = re.compile(r"transforms.*\.json|poses\.npy|poses_bounds\.npy|(cameras|images)\.(bin|txt)")
OF_MODELS = {"sparse", "colmap"}  # folders that make their parent a capture
OF_OBJECTS = re.compile(r"campos_\d+_v\d+|\d{5}")  # folders of a GObjaverse object
DEEPEST = 4  # folders of captures within each other
LONGEST_LINE = 1 << 20  # bytes of a list
LONGEST_ID = 120
WANTED = (
    "give capture folders, folders of them, zip files, or a list (.jsonl, .parquet) with a field "
    "'capture'"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One capture to be reconstructed."""

    id: str  # what its files are called
    url: str  # a path or URL
    options: CaptureOptions


@dataclass(frozen=True, slots=True)
class _Found:
    location: Location
    options: CaptureOptions
    id: str | None = None  # that a list gives


def find_sources(
    inputs: Iterable[str], options: CaptureOptions, results: Location | None = None
) -> list[Source]:
    """List the captures of all inputs, in their order, each once.

    A folder is a capture where it holds images or poses, else captures are looked for in it. Ids
    are the names, made fit for files; what would have the same gets a hash of its path behind it.
    The folder of ``results`` is not searched: their thumbnails are images, but no capture.

    Raises:
        InputError: An input is missing, holds no captures or is where results go; or a list is
            damaged.
    """
    found: list[_Found] = []
    for text in inputs:
        before = len(found)
        found += _expand(text, options, results)
        if len(found) == before:
            raise InputError(f"{text!r} holds no captures; {WANTED}")
    return _named(found)


def _expand(text: str, options: CaptureOptions, results: Location | None) -> Iterator[_Found]:
    location = Location(text)
    if any(character in text for character in "*?[") and not location.exists():
        matches = location.matches()
        if not matches:
            raise InputError(f"{text!r} matches nothing; check the pattern")
        for match in matches:
            yield from _look(location.at(match), options, results)
    elif not location.exists():
        raise InputError(f"{text!r} is not there; {WANTED}")
    elif results is not None and location.is_same(results):
        raise InputError(f"{text!r} is where the results go; name another --output")
    else:
        yield from _look(location, options, results, given=True)


def _look(
    location: Location, options: CaptureOptions, results: Location | None, given: bool = False
) -> Iterator[_Found]:
    """Find what a path holds; what was given by itself is a capture, or its reader says why not."""
    if not location.is_file():
        yield from _in_folder(location, options, results, DEEPEST)
    elif location.name.lower().endswith((*JSONL, PARQUET)):
        yield from _in_list(location, options)
    elif given or _is_capture_file(location.name):
        yield _Found(location, options)


def _in_folder(
    location: Location, options: CaptureOptions, results: Location | None, deepest: int
) -> Iterator[_Found]:
    if results is not None and location.is_same(results):
        return
    files, folders = location.entries()
    if _is_capture_folder(files, folders):
        yield _Found(location, options)
        return
    inner = [name for name in (*files, *folders) if not name.startswith((".", "__MACOSX"))]
    for name in sorted(inner):
        if name not in folders and _is_capture_file(name):
            yield _Found(location.child(name), options)
        elif name in folders and deepest > 1:
            yield from _in_folder(location.child(name), options, results, deepest - 1)


def _is_capture_file(name: str) -> bool:
    return name.lower().endswith((ZIP, *CONTAINERS))


def _is_capture_folder(files: list[str], folders: list[str]) -> bool:
    images = any(name.lower().endswith(tuple(IMAGE_SUFFIXES)) for name in files)
    models = OF_MODELS & set(folders) or any(OF_OBJECTS.fullmatch(name) for name in folders)
    return images or bool(models) or any(MARKERS.fullmatch(name) for name in files)


def _in_list(location: Location, options: CaptureOptions) -> Iterator[_Found]:
    """Read a list: a line or row a capture, paths relative to the list's folder."""
    folder = location.at(str(PurePosixPath(location.path).parent))
    read = _parquet if location.name.lower().endswith(PARQUET) else _json_lines
    for number, row in enumerate(read(location), start=1):
        where = f"{location.text}, line {number}"
        if not isinstance(row, dict) or not isinstance(row.get("capture"), str):
            raise InputError(
                f'{where} has no capture; give a line such as {{"capture": "shoe", "seed": 1}}'
            )
        path, name = row.pop("capture"), row.pop("id", None)
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise InputError(f"{where}: id is {name!r}; give a name, or leave it out")
        here = folder.local is not None and os.path.isabs(path)  # also C:/captures, on Windows
        relative = "://" not in path and not here and not PurePosixPath(path).is_absolute()
        if ".." in re.split(r"[/\\]", path):
            raise InputError(f"{where}: {path!r} leads out of the list's folder; give a full path")
        place = folder.child(path) if relative else Location(path)
        changed = options.changed({k: v for k, v in row.items() if v is not None}, where)
        yield _Found(place, changed, name)


def _json_lines(location: Location) -> Iterator[Any]:
    with location.opened() as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if not line.strip():
                continue
            try:
                if len(line) > LONGEST_LINE:
                    raise ValueError(f"it is longer than {LONGEST_LINE:,} bytes")
                yield json.loads(line.strip())
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{location.text}, line {number} is no JSON: {error}; give one object a line"
                ) from error


def _parquet(location: Location) -> Iterator[Any]:
    require("pyarrow", "a list in Parquet", extra="fleet", instead="write it as .jsonl")
    import pyarrow
    from pyarrow import parquet

    with location.opened() as file:
        try:
            rows = parquet.ParquetFile(file).read().to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(
                f"{location.text} is no Parquet file: {error}; write it again"
            ) from error
    yield from rows


def _named(found: list[_Found]) -> list[Source]:
    """Name captures; equal ones, and those whose names systems take for equal, get a hash."""
    sources = []
    for each in found:
        name = each.id if each.id is not None else _name_of(each.location)
        sources.append(Source(_file_name(name), each.location.url, each.options))
    sources = list(dict.fromkeys(sources))
    counts: dict[str, int] = {}
    for source in sources:
        counts[source.id.casefold()] = counts.get(source.id.casefold(), 0) + 1
    return [
        source if counts[source.id.casefold()] == 1 else replace(source, id=_distinct(source))
        for source in sources
    ]


def _name_of(location: Location) -> str:
    """Return the name of a folder, or of a file without its ending; poses have their folder's."""
    name = location.name
    if name.lower().endswith((".json", ".npy")):
        return PurePosixPath(location.path).parent.name
    lowered = name.lower()
    ending = next((end for end in (ZIP, *CONTAINERS, *IMAGE_SUFFIXES) if lowered.endswith(end)), "")
    return name[: len(name) - len(ending)]


def _file_name(text: str) -> str:
    """Return a name that every system takes; what had to be changed gets a hash of it behind it."""
    name = re.sub(r"[^\w.+-]+", "_", text).strip("._") or "capture"
    if name == text and len(name.encode()) <= LONGEST_ID and not WINDOWS_NAMES.fullmatch(name):
        return name
    short = name.encode()[: LONGEST_ID - 9].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _distinct(source: Source) -> str:
    """Return an id with a hash of what it is the id of, which other captures do not change."""
    text = f"{source.url}\n{source.options.digest()}".encode(errors="surrogateescape")
    return f"{source.id}-{hashlib.sha256(text).hexdigest()[:8]}"
