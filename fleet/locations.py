"""Files here and anywhere that fsspec reaches: listed, opened, and told apart from one another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import error_text
from geolrm.engine.system.extras import require

LOCAL = ("", "file", "local")
CHANGED = ("etag", "ETag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified",
           "updated", "created", "blob_id")  # fmt: skip


class StorageError(InputError):
    """What a storage failed to do, and may do another time."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file below a location."""

    name: str  # relative to it, with slashes
    size: int
    changed: str  # what the storage says of its version: a time or a hash


class Location:
    """A path here, or the URL of a file or folder anywhere.

    Raises:
        InputError: The scheme is unknown, or needs a package that is not installed.
    """

    def __init__(self, text: str):
        require("fsspec", "a batch", extra="fleet")
        import fsspec

        self.text = str(text)
        scheme = self.text.split("://", 1)[0] if "://" in self.text else ""
        self.local: Path | None = None
        if scheme in LOCAL:
            if "\0" in self.text:
                raise InputError(f"{self.text!r} is not a usable path: it holds a null character")
            self.local = Path(self.text.removeprefix(f"{scheme}://") if scheme else self.text)
        try:
            self.files: Any
            self.files, self.path = fsspec.core.url_to_fs(
                str(self.local.absolute()) if self.local is not None else self.text
            )
        except (ImportError, ValueError, OSError) as error:
            raise InputError(f"{self.text!r} cannot be opened: {error_text(error)}") from error

    @property
    def name(self) -> str:
        """Return its last part."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def url(self) -> str:
        """Return it in full, the same wherever it is called from."""
        return str(Path(self.path)) if self.local is not None else self.files.unstrip_protocol(
            self.path
        )  # fmt: skip

    def is_same(self, other: Location) -> bool:
        """Tell whether another is the same place, however it is written."""
        if self.local is None or other.local is None:
            return self.url.rstrip("/") == other.url.rstrip("/")
        return os.path.realpath(self.local) == os.path.realpath(other.local)

    def at(self, path: str) -> Location:
        """Return another path of the same storage, as it lists them."""
        other = object.__new__(Location)
        other.files, other.path, other.text = self.files, path, path
        other.local = None if self.local is None else Path(path)
        if other.local is None:
            other.text = other.url
        return other

    def child(self, name: str) -> Location:
        """Return what lies below."""
        return self.at(f"{self.path.rstrip('/')}/{name}")

    def exists(self) -> bool:
        """Tell whether there is such a file or folder."""
        with self._errors():
            return self.files.exists(self.path)

    def is_file(self) -> bool:
        """Tell whether it is a file, now."""
        with self._errors():
            self.files.invalidate_cache(self.path.rsplit("/", 1)[0])
            return self.files.isfile(self.path)

    def entries(self) -> tuple[list[str], list[str]]:
        """List the names of the files and of the folders in this folder, both in order."""
        with self._errors():
            self.files.invalidate_cache(self.path)
            listed = self.files.ls(self.path, detail=True)
        kinds: tuple[list[str], list[str]] = ([], [])
        for entry in listed:
            name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
            if name and entry["name"].rstrip("/") != self.path.rstrip("/"):
                kinds[_is_folder(entry)].append(name)
        return sorted(kinds[0]), sorted(kinds[1])

    def matches(self) -> list[str]:
        """List the paths that this pattern matches."""
        with self._errors():
            return sorted(self.files.glob(self.path))

    def listing(self, most: int) -> list[ListedFile]:
        """List all files below a folder, or the file itself, in order.

        Raises:
            InputError: There are more than ``most``, or the storage does not answer.
        """
        with self._errors():
            if self.files.isfile(self.path):
                return [_listed(self.name, self.files.info(self.path))]
            found = []
            if not self.files.exists(self.path):
                raise FileNotFoundError(self.path)
            for folder, _, files in self.files.walk(self.path, detail=True):
                inner = folder.rstrip("/")[len(self.path.rstrip("/")) :].strip("/")
                for name, entry in files.items():
                    found.append(_listed(f"{inner}/{name}".strip("/"), entry))
                if len(found) > most:
                    raise InputError(
                        f"{self.text!r} holds more than {most:,} files; give the folder of a "
                        "capture, with nothing else in it"
                    )
        return sorted(found, key=lambda file: file.name)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file for reading."""
        with self._errors(), self.files.open(self.path, "rb") as file:
            yield file

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what storages raise into one sentence."""
        try:
            yield
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"{self.text!r} is not there; check the path") from error
        except Exception as error:  # each storage has errors of its own
            raise StorageError(f"{self.text!r} cannot be read: {error_text(error)}") from error


def _is_folder(entry: dict[str, Any]) -> bool:
    return entry["type"] == "directory"


def _listed(name: str, entry: dict[str, Any]) -> ListedFile:
    changed = [str(entry[key]) for key in CHANGED if entry.get(key) is not None]
    if "ino" in entry:  # a file here, whose time has more digits than fsspec tells
        with contextlib.suppress(OSError):
            changed = [str(os.stat(entry["name"]).st_mtime_ns)]
    return ListedFile(name, int(entry.get("size") or 0), " ".join(changed))
