"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from geolrm.engine.errors import InputError


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
        with tempfile.TemporaryDirectory(prefix=".geolrm.", dir=folder):
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
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
        raise


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Make a temporary folder beside ``path`` that takes its place when the block ends well.

    Raises:
        InputError: The system does not let it be written.
    """
    path = existing_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        prefix = f".{path.name}.{os.getpid()}."
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
    retired = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        try:
            _put_in_place(temporary, path, retired)
        except OSError as error:  # a full disk may say so only now
            raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path, retired: Path) -> None:
    """Make a written folder durable, and put it where an older one is."""
    for file in temporary.rglob("*"):
        if file.is_file():
            os.chmod(file, 0o666 & ~_umask())
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    os.chmod(temporary, 0o777 & ~_umask())
    _sync_folder(temporary)
    if path.exists():
        os.replace(path, retired)
    try:
        os.replace(temporary, path)
    except OSError:
        if retired.exists():
            os.replace(retired, path)
        raise
    _sync_folder(path.parent)


def _remove_stale(path: Path) -> None:
    """Remove temporary folders of processes that were killed while they wrote ``path``."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.*"):
        process = folder.name.removeprefix(f".{path.name}.").split(".")[0]
        if folder.is_dir() and process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


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
