"""Where a batch writes: every file whole or not at all, here or at any URL of fsspec."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_file, check_writable, error_text
from geolrm.engine.system.file_lock import locked
from geolrm.engine.system.temporary import remove_all_leftovers
from geolrm.fleet.locations import Location, StorageError

CAPTURES, LOCKS, ATTEMPTS = "captures", ".locks", ".attempts"  # folders of an output
# Storages whose uploads appear when they are complete; elsewhere a file is renamed when it is.
WHOLE_UPLOADS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "hf"}


class Destination:
    """The folder of a batch's results.

    Raises:
        InputError: It is a file, or cannot be written.
    """

    def __init__(self, text: str):
        self.location = Location(text)
        self.local = self.location.local
        if self.local is not None:
            self.local = self.local.absolute()

    @property
    def url(self) -> str:
        """Return what other processes find it by."""
        return self.location.url

    def prepare(self) -> None:
        """Make the folders, and remove what killed calls left behind.

        Raises:
            InputError: The system refuses.
        """
        if self.local is None:
            if self.location.is_file():
                raise InputError(f"output {self.location.text!r} is a file; name a folder")
            return
        if self.local.exists() and not self.local.is_dir():
            raise InputError(f"output {self.location.text!r} is a file; name a folder")
        check_writable(self.local / CAPTURES / "a")
        for folder in (CAPTURES, LOCKS, ATTEMPTS):
            (self.local / folder).mkdir(parents=True, exist_ok=True)
        for folder in (CAPTURES, ATTEMPTS, "."):
            remove_all_leftovers(self.local / folder)

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Have a file written by ``write``, which is given a path to write whole.

        Raises:
            StorageError: It cannot be written.
        """
        if self.local is not None:
            try:
                write(self.local / name)
            except InputError as error:
                if isinstance(error.__cause__, OSError):
                    raise StorageError(str(error)) from error.__cause__
                raise
            return
        with tempfile.TemporaryDirectory(prefix="geolrm-batch-") as folder:
            path = Path(folder) / name.rsplit("/", 1)[-1]
            write(path)
            self._upload(path, self.location.child(name))

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a file of these bytes."""

        def write(path: Path) -> None:
            with atomic_file(path) as file:
                file.write(content)

        self.put(name, write)

    def read(self, name: str) -> str | None:
        """Return the text of a file, None where there is none."""
        place = self.location.child(name)
        if self.local is not None:
            try:
                return (self.local / name).read_text(encoding="utf-8")
            except (FileNotFoundError, UnicodeDecodeError):
                return None
        try:
            with place.opened() as file:
                return file.read().decode(errors="replace")
        except InputError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def has(self, name: str) -> bool:
        """Tell whether there is a file."""
        if self.local is not None:
            return (self.local / name).is_file()
        return self.location.child(name).is_file()

    def remove(self, name: str) -> None:
        """Remove a file that a newer result lacks; where the storage refuses, it stays."""
        with contextlib.suppress(Exception):
            self.location.files.rm_file(self.location.child(name).path)

    def names(self) -> set[str]:
        """List the files of all captures, relative to the output."""
        place = self.location.child(CAPTURES)
        return {f"{CAPTURES}/{n}" for n in place.entries()[0]} if place.exists() else set()

    @contextlib.contextmanager
    def hold(self, name: str, patience: float) -> Iterator[None]:
        """Keep other calls from writing the same result, where the storage has locks.

        Raises:
            GeoLRMError: Another call has it, longer than the patience in seconds.
        """
        if self.local is None:
            yield
            return
        folder = self.local / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        refusal = f"another call writes {name!r}; wait for it"
        with locked(folder / f"{name}.lock", refusal, patience=patience, keep=False):
            yield

    def _upload(self, path: Path, target: Location) -> None:
        files = target.files
        protocols = {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
        whole = bool(protocols & WHOLE_UPLOADS)
        place = target.path if whole else f"{target.path}.{uuid.uuid4().hex[:8]}.part"
        try:
            parent = target.path.rsplit("/", 1)[0]
            files.makedirs(parent, exist_ok=True)
            files.put_file(str(path), place)
            if not whole:
                files.mv(place, target.path)
        except Exception as error:  # each storage has errors of its own
            with contextlib.suppress(Exception):
                if not whole:
                    files.rm_file(place)
            raise StorageError(f"cannot write {target.text!r}: {error_text(error)}") from error
