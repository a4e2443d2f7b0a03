"""The files of a capture: what they are now, brought here, and their hash."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from geolrm.engine.captures.video import CONTAINERS
from geolrm.engine.errors import InputError
from geolrm.fleet.archives import ZipLimits, extract_capture
from geolrm.fleet.locations import ListedFile, Location, StorageError

PART = 1 << 20  # bytes read at a time
LIMITS = ZipLimits()  # also of folders that are fetched
IN_FOLDERS = (".json", ".npy")  # files that name others beside them


def stamp_of(url: str) -> str:
    """Hash the names, sizes and times of a capture's files, without reading them.

    While it stays the same, so do the files; it may change without them.
    """
    digest = hashlib.sha256()
    for file in _listing(_whole(Location(url))):
        digest.update(
            f"{file.name}\0{file.size}\0{file.changed}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


@contextlib.contextmanager
def fetched(url: str) -> Iterator[tuple[Path, str]]:
    """Have a capture on this machine while the block runs; yield its path and the files' hash.

    Folders of this machine are read where they are. Zip files are unpacked, and what is elsewhere
    is copied, into a temporary folder.

    Raises:
        InputError: It is not there, is too large, or is a zip file that is refused.
    """
    location = Location(url)
    if location.name.lower().endswith(".zip") and location.is_file():
        with _temporary() as folder, location.opened() as file:
            digest = _hash(file)
            file.seek(0)
            inner = extract_capture(file, folder, LIMITS, f"{location.text!r}")
            yield inner, digest
    elif location.local is not None:
        whole = _whole(location)
        assert whole.local is not None, "as the location that it is of"
        root = whole.local if whole.local.is_dir() else whole.local.parent
        yield location.local, content_hash(root, _listing(whole))
    else:
        with _temporary() as folder:
            whole = _whole(location)
            files = _listing(whole)
            root = folder / _safe_name(location.name)
            _copy(whole, files, folder if whole.is_file() else root)
            named = root if whole is location else root / location.name
            yield named, content_hash(folder if whole.is_file() else root, files)


def content_hash(root: Path, files: Sequence[ListedFile]) -> str:
    """Hash the names and the bytes of files below a folder."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with (root / file.name).open("rb") as opened:
                content = _hash(opened)
        except OSError as error:
            raise StorageError(
                f"{str(root / file.name)!r} cannot be read: {error.strerror}"
            ) from error
        digest.update(f"{file.name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while part := file.read(PART):
        digest.update(part)
    return digest.hexdigest()


def _whole(location: Location) -> Location:
    """Return what holds the whole capture: the folder of a file that names others."""
    if location.name.lower().endswith(IN_FOLDERS):
        return location.at(str(PurePosixPath(location.path).parent))
    return location


def _listing(location: Location) -> list[ListedFile]:
    files = location.listing(LIMITS.entries)
    total = sum(file.size for file in files)
    video = len(files) == 1 and files[0].name.lower().endswith(tuple(CONTAINERS))
    if total > LIMITS.total_bytes and not video:
        raise InputError(
            f"{location.text!r} holds {total:,} bytes; at most {LIMITS.total_bytes:,} are read: "
            "use fewer or smaller images"
        )
    return files


def _copy(source: Location, files: Sequence[ListedFile], target: Path) -> None:
    """Copy files to this machine; no name leads out of the target."""
    single = source.is_file()
    for file in files:
        parts = PurePosixPath(file.name).parts
        leads = PurePosixPath(file.name).is_absolute() or PureWindowsPath(file.name).drive
        if ".." in parts or leads or "\\" in file.name:
            raise InputError(f"{source.text!r} holds the name {file.name!r}; rename that file")
        path = target / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        place = source if single else source.child(file.name)
        with place.opened() as opened, path.open("wb") as written:
            shutil.copyfileobj(opened, written, PART)


def _safe_name(name: str) -> str:
    return name if name not in ("", ".", "..") and "\\" not in name else "capture"


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    """Make a folder where the system keeps temporary files."""
    with tempfile.TemporaryDirectory(prefix="geolrm-batch-", ignore_cleanup_errors=True) as name:
        yield Path(name)
