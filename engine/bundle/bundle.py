"""Open a bundle folder and check it before anything of it is used."""

import hashlib
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.contents import (
    Content,
    Unfit,
    check_place,
    memory_of_machine,
    read_file,
    read_tensors,
)
from geolrm.engine.bundle.manifest import MANIFEST_NAME, SCHEMA_VERSION, WEIGHTS_NAME, Manifest
from geolrm.engine.bundle.schema import refusal
from geolrm.engine.bundle.soundness import check_manifest
from geolrm.engine.errors import BundleError, GeoLRMError
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis
from geolrm.engine.system.atomic import error_text, existing_path

MAX_MANIFEST_BYTES = 16 << 20
BUNDLED_MODELS = ("mini",)
LONGEST_REASON = 500  # characters
SETTLING = 0.02  # seconds until what replaces a bundle has surely put the new one in its place
AGAIN = "; export it again with geolrm-export and --force"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bundled_path(name: str) -> Path:
    """Return the folder of a bundle that ships with the package."""
    import importlib.resources

    return Path(str(importlib.resources.files("geolrm") / "models" / name))


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A graph or an engine, and the weights that graphs point into: checked, in private memory."""

    path: Path  # where it was; for messages
    content: Content = field(repr=False)
    weights: Content = field(repr=False, default=b"")  # of the whole weights file


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle folder.

    Whatever happens to the folder later, what :meth:`segment` and :meth:`weights` return is what
    the manifest says, or they raise.
    """

    path: Path
    manifest: Manifest
    # What backends run, by file, from loading until :meth:`release`.
    _loaded: dict[str, Content] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def open(model: str | Path, *, load: bool = False) -> "Bundle":
        """Open by folder, or by the name of a bundled model.

        Args:
            model: The folder or the name.
            load: Keep in memory what backends run, for an engine that is made next.

        Raises:
            BundleError: The folder or a file of it is missing, damaged, or newer than this
                version of geolrm reads.
        """
        bundled = str(model) in BUNDLED_MODELS
        path = bundled_path(str(model)) if bundled else existing_path(model)
        before = _identity(path)
        try:
            return _open(path, str(model), load=load)
        except BundleError:
            if not _replaced(path, before):
                raise
        before = _identity(path)
        try:
            return _open(path, str(model), load=load)
        except BundleError:
            if not _replaced(path, before):
                raise
            raise BundleError(
                f"the bundle {str(path)!r} was replaced while it was opened, and again at the "
                "second attempt; open it when the export has ended"
            ) from None

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(f"{self._what(name)} is used but not listed in {MANIFEST_NAME}")
        return self.path / name

    def segment(self, name: str) -> StoredSegment:
        """Return a segment's file, with what it may point into."""
        path = self.file(name)
        weights = self._read(WEIGHTS_NAME) if WEIGHTS_NAME in self.manifest.files else b""
        return StoredSegment(path, self._read(name), weights)

    def weights(self, names: set[str]) -> dict[str, NDArray]:
        """Return tensors of the weights file, float16 or float32."""
        self.file(WEIGHTS_NAME)
        try:
            return read_tensors(self._read(WEIGHTS_NAME), names)
        except KeyError as error:
            raise BundleError(f"{self._what(WEIGHTS_NAME)} lacks {error.args[0]!r}") from error
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise BundleError(f"{self._what(WEIGHTS_NAME)} cannot be read: {error}") from error

    def release(self) -> None:
        """Give back the memory of what was loaded; what is asked for later is read once more."""
        self._loaded.clear()

    def _what(self, name: str) -> str:
        return f"{name} of the bundle {str(self.path)!r}"

    @property
    def _remedy(self) -> str:
        if self.path == bundled_path(self.manifest.model):
            return "; reinstall the package: pip install --force-reinstall geolrm"
        return AGAIN

    def _read(self, name: str) -> Content:
        content = self._loaded.get(name)
        return self._checked(name, keep=True) if content is None else content

    def _checked(self, name: str, *, keep: bool) -> Content:
        """Return a file's content, b"" where it is not kept."""
        path = self.path / name
        try:
            check_place(path, self.path)
            return read_file(path, self.manifest.files[name], keep=keep) or b""
        except Unfit as error:
            remedy = "" if path.is_symlink() else self._remedy
            raise BundleError(f"{self._what(name)} {error}{remedy}") from error
        except OSError as error:
            raise BundleError(f"{self._what(name)} cannot be read: {error_text(error)}") from error

    def _check_files(self, *, load: bool) -> None:
        used = {WEIGHTS_NAME}
        for artifact in self.manifest.artifacts:
            used |= {file for step in artifact.segments for file in step.files.values()}
        used |= {entry.graph for entry in self.manifest.learned.values()}
        if load:
            self._check_memory(used)
        for name in self.manifest.files:
            content = self._checked(name, keep=load and name in used)
            if load and name in used:
                self._loaded[name] = content

    def _check_memory(self, used: set[str]) -> None:
        needed = sum(entry.bytes for name, entry in self.manifest.files.items() if name in used)
        there = memory_of_machine()
        if there is not None and needed > there:
            raise GeoLRMError(
                f"the bundle {str(self.path)!r} takes {needed / 1e9:.1f} GB of memory, and this "
                f"machine has {there / 1e9:.1f} GB; use a smaller model or a larger machine"
            )

    def _check_axes(self) -> None:
        rope = self.manifest.rope
        axis = voxel_axis(rope.grid_size)
        index = rope_indices(axis, rope.grid_size, rope.xyz_scale)
        same = np.array_equal(axis, np.array(rope.axis, np.float32))
        if not same or index.tolist() != rope.index:
            raise BundleError(
                f"{self._what(MANIFEST_NAME)} holds other voxel axes than this version of geolrm "
                "computes; export it again with this version"
            )


def _open(path: Path, model: str, *, load: bool) -> Bundle:
    if not path.is_dir():
        raise BundleError(
            f"no bundle at {model!r}: it is neither a folder nor a bundled model "
            f"({', '.join(BUNDLED_MODELS)}); make one with: geolrm-export CHECKPOINT -o FOLDER"
        )
    try:
        bundle = Bundle(path, _read_manifest(path))
    except OSError as error:
        raise BundleError(f"{path / MANIFEST_NAME} cannot be read: {error_text(error)}") from error
    bundle._check_files(load=load)
    bundle._check_axes()
    return bundle


def _identity(path: Path) -> tuple[int, ...] | None:
    """Tell a bundle from the one that takes its place; None where there is none.

    Numbers of inodes are given again, and times of content are copied with it; those of a change of
    the inode are not.
    """
    try:
        folder, file = path.stat(), (path / MANIFEST_NAME).stat()
    except OSError:
        return None
    stated = (folder.st_dev, folder.st_ino, folder.st_ctime_ns, file.st_ino, file.st_ctime_ns)
    return *stated, file.st_mtime_ns, file.st_size


def _replaced(path: Path, before: tuple[int, ...] | None) -> bool:
    """Tell whether another bundle took the place of the one that does not open."""
    if before is not None and before == _identity(path):
        return False
    time.sleep(SETTLING)  # there may be a moment without either
    return before != _identity(path)


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST_NAME
    if not file.is_file():
        raise BundleError(
            f"{str(path)!r} holds no {MANIFEST_NAME}, so it is not a bundle; make one with: "
            f"geolrm-export CHECKPOINT -o {path}"
        )
    try:
        check_place(file, path)
    except Unfit as error:
        raise BundleError(f"{MANIFEST_NAME} of the bundle {str(path)!r} {error}") from error
    with file.open("rb") as opened:
        raw = opened.read(MAX_MANIFEST_BYTES + 1)
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{file} is larger than {MAX_MANIFEST_BYTES} bytes, so it is corrupt")
    try:
        version = manifests.schema_version(raw)
        if version != SCHEMA_VERSION:
            raise BundleError(refusal(file, raw, version))
        manifest = manifests.decode(raw)
        if manifest.checksum != manifests.digest(manifest):
            raise BundleError(
                f"{file} is corrupt: it does not match its own checksum, so it was changed after "
                f"the export{AGAIN}"
            )
        check_manifest(manifest)
        return manifest
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors, too
        reason = textwrap.shorten(printable(str(error)), LONGEST_REASON, placeholder=" ...")
        raise BundleError(f"{file} is corrupt: {reason}{AGAIN}") from error


def printable(text: str) -> str:
    """Return a text in which nothing from a file moves the cursor or breaks the line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
