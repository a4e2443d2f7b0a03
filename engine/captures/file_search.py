"""Files that a capture lists, found where names have suffered on their way to this machine."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from geolrm.engine.captures.images import IMAGE_SUFFIXES
from geolrm.engine.errors import InputError

IMAGE_FOLDERS = ("images", "input", "rgb")  # where a name without its folder is looked for
LISTED = 4  # files that a sentence names at most
MOST_ENTRIES = 100_000  # of a folder that is listed
MOST_PARTS = 64  # of a path, the last of which are looked for


class OutsideError(InputError):
    """A file of a capture that lies outside its folder; where it is read, it can be allowed.

    ``fact`` is the sentence without its remedy, for those who cannot allow it.
    """

    def __init__(self, path: Path, folder: Path):
        self.fact = f"{str(path)!r} lies outside the capture in {str(folder)!r}"
        super().__init__(
            f"{self.fact}; copy it there, or allow it: --allow-outside (allow_outside=True)"
        )


class FileSearch:
    """A search for images in a folder, by names that another machine may have written.

    A name is taken as it stands where there is such a file. Otherwise separators may be those of
    Windows, letters may differ in case or in how accents are encoded, a suffix may be left out or
    be that of another kind of image, and of a path only the last components may be there. What lies
    outside the folder, by its path or by a link, is refused unless ``allow_outside`` is given.
    """

    def __init__(self, folder: Path, *, allow_outside: bool = False):
        self.folder, self.allow_outside = folder, allow_outside
        self._real = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}  # by the folder of a file
        self._listed: dict[Path, dict[str, str]] = {}
        self._stems: dict[Path, dict[str, list[str]]] = {}
        self._guessed: dict[Path, str] = {}  # what was found by less than its name, and for which

    def find(self, name: str, *, is_mask: bool = False) -> Path | None:
        """Find the file of a name; None where there is none, or it was found for another name.

        A mask is not looked for among the images.

        Raises:
            InputError: It lies outside the folder.
        """
        outside = None
        for candidate in _as_listed(self.folder, name):
            if _is_file(candidate):
                if self.holds(candidate):
                    return candidate
                outside = outside or candidate
        parts = _parts(name)
        if parts and len(name) <= 4096:
            for path in self._guesses(parts, () if is_mask else IMAGE_FOLDERS):
                if self._guessed.setdefault(path, name) == name:
                    return path
        if outside is not None:
            raise self._refusal(outside)
        return None

    def holds(self, path: Path) -> bool:
        """Tell whether a path stays in the folder, whatever links are on its way."""
        if self.allow_outside:
            return True
        folder = str(path.parent)
        if folder not in self._inside:
            self._inside[folder] = self._is_inside(folder)
        if path.is_symlink() or path.name == "..":
            return self._is_inside(path)
        return self._inside[folder]

    def _is_inside(self, path: str | Path) -> bool:
        real = os.path.realpath(path)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def _checked(self, path: Path) -> Path:
        if not self.holds(path):
            raise self._refusal(path)
        return path

    def _refusal(self, path: Path) -> InputError:
        return OutsideError(path, self.folder)

    def find_mask(self, name: str) -> Path | None:
        """Find the mask of an image: ``NAME.png``, the same stem, or the same name."""
        parts = _parts(name)
        for start in range(len(parts)):
            folder = self.descend(parts[start:-1])
            if folder is not None and (found := self._same_stem(folder, parts[-1], masks=True)):
                return found
        return None

    def _guesses(self, parts: list[str], folders: Sequence[str]) -> Iterator[Path]:
        """Yield files whose path ends as the name does, the longest ends first."""
        for start in range(len(parts)):
            folder = self.descend(parts[start:-1])
            if folder is not None and (found := self._same_stem(folder, parts[-1])):
                yield found
        for inner in folders:
            folder = self.descend([inner])
            if folder is not None and (found := self._same_stem(folder, parts[-1])):
                yield found

    def descend(self, parts: list[str]) -> Path | None:
        """Find the folder of this path in the searched one; None where there is none.

        Raises:
            InputError: A link on the way leads outside.
        """
        folder = self.folder
        for part in parts:
            if part == "..":
                return None
            found = self._entries(folder).get(_key(part))
            if found is None or not (folder / found).is_dir():
                return None
            folder = self._checked(folder / found)
        return folder

    def _same_stem(self, folder: Path, name: str, masks: bool = False) -> Path | None:
        entries = self._entries(folder)
        if not masks and (found := entries.get(_key(name))) and _is_file(folder / found):
            return self._checked(folder / found)
        stem, suffix = os.path.splitext(name)
        # A dot in a name need not begin a suffix: frame_0.5 may be frame_0.5.png.
        stems = [name, stem] if masks or suffix.lower() not in IMAGE_SUFFIXES else [stem]
        for wanted in dict.fromkeys(stems):
            for entry in self._stems[folder].get(_key(wanted), ()):
                if _is_file(folder / entry):
                    return self._checked(folder / entry)
        return None

    def _entries(self, folder: Path) -> dict[str, str]:
        """List a folder once: its entries by what of their names is compared."""
        if folder not in self._listed:
            names: list[str] = []
            try:
                with os.scandir(folder) as entries:
                    for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
                        names.append(entry.name)
            except OSError:
                names = []
            names.sort()
            self._listed[folder] = {_key(name): name for name in reversed(names)}
            stems: dict[str, list[str]] = {}
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in IMAGE_SUFFIXES:
                    stems.setdefault(_key(stem), []).append(name)
            for same in stems.values():  # PNG first: it may have an alpha
                same.sort(key=lambda n: IMAGE_SUFFIXES.index(os.path.splitext(n)[1].lower()))
            self._stems[folder] = stems
        return self._listed[folder]


def _parts(name: str) -> list[str]:
    """Split a name at separators of any system; of many components the last ones are meant."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "/"]
    return parts[-MOST_PARTS:]


def check_inside(files: Sequence[Path], folder: Path, allow_outside: bool) -> None:
    """Refuse files of a capture's folder that are links to somewhere else.

    Raises:
        InputError: Names the first such file.
    """
    search = FileSearch(folder, allow_outside=allow_outside)
    for file in files:
        search._checked(file)


def _as_listed(folder: Path, name: str) -> Iterator[Path]:
    names = [name] if os.sep == "\\" else [name, name.replace("\\", "/")]
    for each in names:
        for suffix in ("", *IMAGE_SUFFIXES):
            yield folder / (each + suffix)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for the system, or with a null byte
        return False


def _key(name: str) -> str:
    """Return what of a name is compared: without case, accents composed, bytes read as they can."""
    try:
        content = name.encode("utf-8", "surrogateescape")  # bytes that are not UTF-8 come back
    except UnicodeEncodeError:  # a lone surrogate of JSON, which no file's name has
        content = name.encode("utf-8", "replace")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # what Windows and old archives wrote
    return unicodedata.normalize("NFC", text).casefold()


def name_some(names: Sequence[str]) -> str:
    """Name the first few of many files."""
    shown = ", ".join(_shown(name) for name in names[:LISTED])
    more = len(names) - LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def missing_note(missing: Sequence[str], total: int) -> str:
    """Say which listed images are not there and were left out."""
    verb = "is missing and was" if len(missing) == 1 else "are missing and were"
    return f"{len(missing)} of {total} listed images {verb} left out: {name_some(missing)}"


def all_missing(source: str, missing: Sequence[str], folder: str) -> str:
    """Say that no listed image is there."""
    count = len(missing)
    none = "the image that it lists" if count == 1 else f"every one of the {count} listed images"
    return (
        f"{source}: {none} is missing ({name_some(missing)}); restore them where the file says, "
        f"relative to {folder}"
    )


def _shown(name: str) -> str:
    """Quote a name where it could not be printed, and shorten it where it is long."""
    shown = name if name.isprintable() else ascii(name)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."
