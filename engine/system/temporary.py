"""Temporary files and folders beside their targets, which tell whether anybody still writes them.

Whoever makes one holds a lock on it, which the system frees when the process ends, however it ends
and on whatever machine that shares the storage. What nobody holds is a leftover; where the system
has no such locks, what nobody touched for an hour.
"""

import contextlib
import glob
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MARK = "geolrm-"  # so that nothing of the user's is ever taken for ours
RANDOM = re.compile(r"[a-z0-9_]{8}")  # of tempfile
FILE_END, RETIRED_END = ".part", ".old"
ABANDONED = 3600.0  # seconds
LONGEST_STEM = (
    200  # bytes; file systems take names of 255, and a temporary's is longer than its own
)


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Make a file beside ``target``; yield it open for writing, closed at the end, and its path.

    The path outlives the block: whoever renames the file does so inside it, while it is open where
    the system can, for the lock lasts as long.
    """
    while True:
        handle, name = tempfile.mkstemp(
            prefix=f".{stem(target)}.{MARK}", suffix=FILE_END, dir=target.parent
        )
        if _hold(handle, Path(name)):
            break
        os.close(handle)
    with os.fdopen(handle, "wb") as file:
        yield file, Path(name)


@contextlib.contextmanager
def temporary_folder(target: Path, within: Path | None = None) -> Iterator[Path]:
    """Make a folder beside ``target``, or in a folder ``within`` on the same file system."""
    while True:
        name = tempfile.mkdtemp(prefix=f".{stem(target)}.{MARK}", dir=within or target.parent)
        with held(Path(name)) as sound:
            if sound:
                yield Path(name)
                return


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a folder, so that nobody takes it for a leftover; False where somebody just did."""
    with _opened(path) as handle:
        yield handle is None or _hold(handle, path)


def stem(target: Path) -> str:
    """Return what the temporaries of a target begin with: its name, or a hash of one too long."""
    name = os.fsencode(target.name)
    if len(name) <= LONGEST_STEM:
        return target.name
    return hashlib.sha256(name).hexdigest()


def retired_name(folder: Path) -> Path:
    """Return where a folder is put aside while its successor takes its place."""
    return folder.with_name(folder.name + RETIRED_END)


def restore(target: Path) -> None:
    """Put back the folder that a killed process had put aside, where nothing took its place."""
    if target.exists():
        return
    for folder in _temporaries(target.parent, stem(target)):
        if not folder.name.endswith(RETIRED_END):
            continue
        with contextlib.suppress(OSError), _opened(folder) as handle:
            if _is_left(handle, folder):
                os.replace(folder, target)
                return


def remove_leftovers(target: Path, within: Path | None = None) -> None:
    """Remove temporaries of ``target`` that nobody writes any more."""
    _remove(_temporaries(within or target.parent, stem(target)))


def remove_all_leftovers(folder: Path) -> None:
    """Remove the temporary files of any target in a folder that nobody writes any more."""
    _remove(path for path in folder.glob(f".*.{MARK}*{FILE_END}") if path.is_file())


def _remove(paths: Iterator[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError), _opened(path) as handle:
            if not _is_left(handle, path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _is_left(handle: int | None, path: Path) -> bool:
    """Tell whether nobody holds a temporary; where there are no locks, one of an hour is left."""
    lock = None if handle is None else _lock(handle)
    return time.time() - path.stat().st_mtime > ABANDONED if lock is None else lock


def _temporaries(folder: Path, start: str) -> Iterator[Path]:
    """Find what :func:`temporary_file` and :func:`temporary_folder` may have made for a name."""
    prefix = f".{start}.{MARK}"
    for path in folder.glob(f"{glob.escape(prefix)}*"):
        middle = path.name.removeprefix(prefix)
        ending = next((end for end in (FILE_END, RETIRED_END) if middle.endswith(end)), "")
        ours = RANDOM.fullmatch(middle.removesuffix(ending)) and not path.is_symlink()
        if ours and path.is_dir() == (ending != FILE_END):
            yield path


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a file or folder to lock it; None where the system cannot open folders."""
    if os.name != "posix":
        yield None
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


def _hold(handle: int, path: Path) -> bool:
    """Lock what was just made; False where it is gone, or another process is about to remove it."""
    if os.name != "posix":
        return True
    if _lock(handle) is False:
        return False
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _lock(handle: int) -> bool | None:
    """Lock an open file or folder: False where another holds it, None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
