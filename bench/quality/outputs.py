"""A folder of results that is filled at the end: whole, or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_file, check_writable, error_text
from geolrm.engine.system.temporary import remove_leftovers, temporary_folder

METRICS = "metrics.json"


def check_folder(folder: Path) -> None:
    """Refuse early a folder that could not be written; create nothing."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder with -o")
    check_writable(folder / METRICS)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Make a temporary folder whose files move into ``folder`` when the block ends well.

    Files of the same names are replaced, ``metrics.json`` last; others are left alone.
    """
    beside = folder.absolute()
    while not beside.exists():
        beside = beside.parent
    with contextlib.ExitStack() as stack:
        try:
            remove_leftovers(folder, within=beside)
            temporary = stack.enter_context(temporary_folder(folder, within=beside))
        except OSError as error:
            raise InputError(f"cannot write {str(folder)!r}: {error_text(error)}") from error
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary
        _move_files(temporary, folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with atomic_file(path) as file:
        file.write(content)


def _move_files(source: Path, folder: Path) -> None:
    files = [file for file in source.rglob("*") if file.is_file()]
    try:
        for file in sorted(files, key=lambda file: (file.name == METRICS, file)):
            target = folder / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    except OSError as error:
        raise InputError(f"cannot write {str(folder)!r}: {error_text(error)}") from error
