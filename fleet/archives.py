"""A capture in a zip file of a stranger: checked whole, then unpacked, into a folder of ours."""

import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NoReturn

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import error_text

PART = 1 << 20  # bytes unpacked at a time
SMALL = 1 << 20  # bytes that a file may become whatever its ratio: text, masks, white images
DIRECTORY_BYTES_AN_ENTRY = 512  # of the list of files: 46, its name and what systems add
DEEPEST = 16  # folders within each other
LONGEST_NAME = 255  # bytes of one part of a path
WINDOWS_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of devices
IGNORED = "__MACOSX"  # what macOS adds beside the files
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # which take little memory to unpack
# All that zipfile raises for bytes that are no zip file or a damaged one.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, IndexError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """How much a zip file may hold; all of it is checked before a byte is unpacked."""

    entries: int = 20_000  # files and folders
    file_bytes: int = 1 << 29  # of one file, unpacked
    total_bytes: int = 1 << 33  # of all files, unpacked
    ratio: float = 100.0  # unpacked over packed, of files that become more than 1 MiB


def extract_capture(
    file: BinaryIO, folder: Path, limits: ZipLimits | None = None, name: str = "the zip file"
) -> Path:
    """Unpack a capture into an empty folder that the caller removes, and return where it lies.

    That is the folder itself, or the one folder that all files are in. What the archive states is
    checked before anything is written, what it holds while it is: memory stays at a few MB, the
    disk within ``limits``.

    Args:
        file: Opened for reading, seekable.
        folder: Where the files go; nothing is written outside it.
        limits: None: those of :class:`ZipLimits`.
        name: What the sentences call the file.

    Raises:
        InputError: It is no zip file, is damaged, or breaks a limit; or the disk refuses.
    """
    limits = limits or ZipLimits()
    reading = _Directory(file, limits, name)
    try:
        with zipfile.ZipFile(reading) as archive:  # pyright: ignore[reportArgumentType]
            reading.opened = True
            entries = [
                (path, info)
                for info in archive.infolist()
                if (path := _checked_path(info.filename, name)).parts[0] != IGNORED
            ]
            _check(entries, reading.size(), limits, name)
            for path, info in entries:
                _extract(archive, info, folder / path, name)
    except OSError as error:
        raise InputError(f"{name} cannot be unpacked: {error_text(error)}") from error
    except InputError:
        raise
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{name} is no zip file that can be read: {reason}; pack the capture again"
        ) from error
    return _capture_in(folder)


class _Directory:
    """A file whose list of contents is read whole, and is refused before that where it is long."""

    def __init__(self, file: IO[bytes], limits: ZipLimits, name: str):
        self._file, self._limits, self._name = file, limits, name
        self._left = limits.entries * DIRECTORY_BYTES_AN_ENTRY + (1 << 17)
        self.opened = False
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        """Return the bytes of the file."""
        return self.seek(0, 2)

    def read(self, size: int = -1) -> bytes:
        """Read as the file; while it is opened, no more than a list within the limits takes."""
        if self.opened:
            return self._file.read(size)
        if size < 0 or size > self._left:
            size = self._left + 1
        read = self._file.read(size)
        self._left -= len(read)
        count = read.count(zipfile.stringCentralDir)  # pyright: ignore[reportAttributeAccessIssue]
        if self._left < 0 or count > self._limits.entries:
            raise InputError(
                f"{self._name} lists more than {self._limits.entries:,} files; leave out what "
                "does not belong to the capture"
            )
        return read


def _checked_path(text: str, name: str) -> PurePosixPath:
    """Return a path that stays within its folder on every system."""
    parts = [part for part in text.split("/") if part not in ("", ".")]

    def refuse(reason: str) -> NoReturn:
        said = text if len(text) < 200 else f"{text[:200]}..."
        raise InputError(f"{name} holds the path {said!r}, {reason}; pack the capture again")

    if text.startswith("/") or ".." in parts or not parts:
        refuse("which leads out of its folder")
    if any(character in text for character in '\\:*?"<>|') or not text.isprintable():
        refuse("with a character that not every system allows")
    if len(parts) > DEEPEST or any(len(part.encode()) > LONGEST_NAME for part in parts):
        refuse(f"deeper than {DEEPEST} folders or with a name longer than {LONGEST_NAME} bytes")
    if any(part.endswith((" ", ".")) for part in parts):
        refuse("with a name that ends in a space or a full stop")
    if any(WINDOWS_NAMES.fullmatch(part) for part in parts):
        refuse("with a name that is a device of Windows")
    return PurePosixPath(*parts)


def _check(
    entries: list[tuple[PurePosixPath, zipfile.ZipInfo]], size: int, limits: ZipLimits, name: str
) -> None:
    """Refuse what an archive states: links, secrets, names that collide, and what is too large."""
    files = [(path, info) for path, info in entries if not info.is_dir()]
    if not files:
        raise InputError(f"{name} holds no files; pack a folder with images and their poses")
    for path, info in entries:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise InputError(
                f"{name} holds {str(path)!r}, which is a link or no file; pack the files themselves"
            )
        if info.flag_bits & 1 or info.compress_type not in METHODS:
            raise InputError(
                f"{name} holds {str(path)!r}, which is encrypted or packed by a method other than "
                "deflate; pack the capture again, as an ordinary zip file"
            )
    _check_collisions(entries, name)
    _check_sizes(files, size, limits, name)


def _check_collisions(entries: list[tuple[PurePosixPath, zipfile.ZipInfo]], name: str) -> None:
    """Refuse two files of one name, letters' case aside, and a file that is a folder, too."""
    files: set[str] = set()
    folders: set[str] = set()
    for path, info in entries:
        key = str(path).casefold()
        parents = {str(parent).casefold() for parent in path.parents}
        taken = key in files or (not info.is_dir() and key in folders) or parents & files
        if taken:
            raise InputError(f"{name} holds {str(path)!r} twice; pack the capture again")
        (folders if info.is_dir() else files).add(key)
        folders |= parents


def _check_sizes(
    files: list[tuple[PurePosixPath, zipfile.ZipInfo]], size: int, limits: ZipLimits, name: str
) -> None:
    """Refuse what would become too large; bombs list the same bytes often."""
    for path, info in files:
        if info.file_size > limits.file_bytes:
            raise InputError(
                f"{name} holds {str(path)!r} of {info.file_size:,} bytes; at most "
                f"{limits.file_bytes:,} are read: make it smaller"
            )
        if info.file_size > max(SMALL, limits.ratio * info.compress_size):
            raise InputError(
                f"{name} holds {str(path)!r}, {info.compress_size:,} bytes that become "
                f"{info.file_size:,}; at most {limits.ratio:g} times as many are read: store it "
                "as an image"
            )
    total = sum(info.file_size for _, info in files)
    if total > limits.total_bytes:
        raise InputError(
            f"{name} holds {total:,} bytes; at most {limits.total_bytes:,} are read: use fewer or "
            "smaller images"
        )
    if sum(info.compress_size for _, info in files) > size:
        raise InputError(f"{name} states more bytes than it has; pack the capture again")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str) -> None:
    """Write one file or make one folder; zipfile checks the sum of what it reads."""
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(info) as source, target.open("xb") as file:
        while part := source.read(PART):
            written += len(part)
            if written > info.file_size:
                break
            file.write(part)
    if written != info.file_size:
        raise InputError(
            f"{name} holds {info.filename!r}, which is not the {info.file_size:,} bytes that it "
            "states; pack the capture again"
        )


def _capture_in(folder: Path) -> Path:
    """Return the folder of the capture: the first that holds more than one folder."""
    while True:
        inner = list(folder.iterdir())
        if len(inner) != 1 or not inner[0].is_dir() or inner[0].name == "sparse":
            return folder
        folder = inner[0]
