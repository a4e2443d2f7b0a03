"""Open a bundle folder and check it before anything of it is used."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.manifest import MANIFEST_NAME, SCHEMA_VERSION, WEIGHTS_NAME, Manifest
from geolrm.engine.bundle.schema import refusal
from geolrm.engine.errors import BundleError
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis
from geolrm.engine.system.atomic import existing_path

MAX_MANIFEST_BYTES = 16 << 20
BUNDLED_MODELS = ("mini",)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bundled_path(name: str) -> Path:
    """Return the folder of a bundle that ships with the package."""
    import importlib.resources

    return Path(str(importlib.resources.files("geolrm") / "models" / name))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle folder."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(model: str | Path) -> "Bundle":
        """Open by folder, or by the name of a bundled model.

        Raises:
            BundleError: The folder or a file of it is missing, damaged, or newer than this
                version of geolrm reads.
        """
        bundled = str(model) in BUNDLED_MODELS
        path = bundled_path(str(model)) if bundled else existing_path(model)
        if not path.is_dir():
            raise BundleError(
                f"no bundle at {str(model)!r}: it is neither a folder nor a bundled model "
                f"({', '.join(BUNDLED_MODELS)}); make one with: geolrm-export CHECKPOINT -o FOLDER"
            )
        bundle = Bundle(path, _read_manifest(path))
        bundle._check_files()
        bundle._check_axes()
        return bundle

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(f"{self._what(name)} is used but not listed in {MANIFEST_NAME}")
        return self.path / name

    def weights(self, names: set[str]) -> dict[str, NDArray]:
        """Return tensors of the weights file, float16 or float32."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.file(WEIGHTS_NAME), framework="numpy") as file:
                missing = names - set(file.keys())
                if missing:
                    raise BundleError(f"{self._what(WEIGHTS_NAME)} lacks {sorted(missing)[0]!r}")
                return {name: file.get_tensor(name) for name in sorted(names)}
        except SafetensorError as error:
            raise BundleError(f"{self._what(WEIGHTS_NAME)} cannot be read: {error}") from error

    def _what(self, name: str) -> str:
        return f"{name} of the bundle {str(self.path)!r}"

    def _check_files(self) -> None:
        remedy = "; export it again with geolrm-export and --force"
        if self.path == bundled_path(self.manifest.model):
            remedy = "; reinstall the package: pip install --force-reinstall geolrm"
        for name, entry in self.manifest.files.items():
            path = self.path / name
            if Path(name).name != name:
                raise BundleError(f"{self._what(name)} is not a plain file name")
            if not path.is_file():
                raise BundleError(f"{self._what(name)} is missing{remedy}")
            size = path.stat().st_size
            if size != entry.bytes:
                raise BundleError(
                    f"{self._what(name)} has {size} bytes, its manifest says {entry.bytes}: "
                    f"it is truncated or was changed{remedy}"
                )
            if file_sha256(path) != entry.sha256:
                raise BundleError(
                    f"{self._what(name)} does not match its checksum: it is corrupt{remedy}"
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


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST_NAME
    if not file.is_file():
        raise BundleError(
            f"{str(path)!r} holds no {MANIFEST_NAME}, so it is not a bundle; make one with: "
            f"geolrm-export CHECKPOINT -o {path}"
        )
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{file} is larger than {MAX_MANIFEST_BYTES} bytes, so it is corrupt")
    raw = file.read_bytes()
    try:
        version = manifests.schema_version(raw)
        if version != SCHEMA_VERSION:
            raise BundleError(refusal(file, raw, version))
        manifest = manifests.decode(raw)
        if manifest.checksum != manifests.digest(manifest):
            raise BundleError(
                f"{file} is corrupt: it does not match its own checksum, so it was changed after "
                "the export; export it again with geolrm-export and --force"
            )
        return manifest
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{file} is corrupt: {error}") from error
