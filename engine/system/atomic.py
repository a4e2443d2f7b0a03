"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from geolrm.engine.errors import InputError
from geolrm.engine.system.exchange import exchange
from geolrm.engine.system.temporary import (
    held,
    remove_leftovers,
    restore,
    retired_name,
    temporary_file,
    temporary_folder,
)


def existing_path(path: str | os.PathLike) -> Path:
    """Return a path that can be asked about.

    Raises:
        InputError: The system refuses to look it up: too long, a null character, no path at all.
    """
    try:
        checked = Path(path)
        if "\0" in str(checked):  # which exists() takes for any other missing path
            raise ValueError("it holds a null character")
        checked.exists()
    except (OSError, TypeError, ValueError) as error:
        shown = str(path)
        shown = shown if len(shown) < 200 else f"{shown[:200]}..."
        raise InputError(f"{shown!r} is not a usable path: {error_text(error)}") from error
    return checked


def error_text(error: BaseException) -> str:
    """Return the system's reason, without the path that comes with it."""
    return getattr(error, "strerror", None) or str(error)


def check_writable(path: str | Path) -> None:
    """Refuse early what a later atomic write would refuse; nothing that stays is created."""
    path = existing_path(path)
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{str(folder)!r} is not a folder")
        with tempfile.TemporaryFile(dir=folder):  # has no name where the system knows such files
            pass
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces ``path`` when the block ends without an error.

    Raises:
        InputError: The system does not let it be written.
    """
    path = existing_path(path)
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {str(path)!r}: it is not a regular file; name another")
    try:
        with contextlib.ExitStack() as stack:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path)
            file, temporary = stack.enter_context(temporary_file(path))
            stack.callback(temporary.unlink, missing_ok=True)
            if os.name != "posix":  # which alone renames and removes open files, locks held
                stack.callback(file.close)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name != "posix":
                file.close()
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Make a temporary folder beside ``path`` that takes its place when the block ends well.

    Raises:
        InputError: The system does not let it be written.
    """
    path = existing_path(path)
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            restore(path)
            remove_leftovers(path)
            temporary = stack.enter_context(temporary_folder(path))
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary
        try:
            _put_in_place(temporary, path)
        except OSError as error:  # a full disk may say so only now
            raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error


def _put_in_place(temporary: Path, path: Path) -> None:
    """Make a written folder durable, and put it where an older one is, which is removed."""
    for file in temporary.rglob("*"):
        if file.is_file():
            os.chmod(file, 0o666 & ~_umask())
            # Windows syncs what is open for writing alone.
            with file.open("rb" if os.name == "posix" else "rb+") as opened:
                os.fsync(opened.fileno())
    os.chmod(temporary, 0o777 & ~_umask())
    _sync_folder(temporary)
    if not path.exists():
        os.replace(temporary, path)
    elif not path.is_dir() or path.is_symlink() or not exchange(temporary, path):
        _replace_in_two_steps(temporary, path)
    _sync_folder(path.parent)


def _replace_in_two_steps(temporary: Path, path: Path) -> None:
    """Put a folder where another is; killed in between, the next call puts the old one back."""
    retired = retired_name(temporary)
    with held(path):
        os.replace(path, retired)
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(retired, path)
            raise
        if retired.is_dir() and not retired.is_symlink():
            shutil.rmtree(retired, ignore_errors=True)
        else:
            retired.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; only POSIX can open folders for this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
