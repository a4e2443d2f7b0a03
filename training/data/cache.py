"""Decoded meshes and rendered objects kept on disk, so that they are made once."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.system.atomic import atomic_file, check_writable, existing_path
from geolrm.training.data.meshes import RENDERER_VERSION, Mesh, load_glb, render_object
from geolrm.training.data.posed_object import PosedObject

Arrays = dict[str, NDArray[Any]]
Record = TypeVar("Record")

FORMAT = 1  # of the entries themselves
DIGEST = "digest"  # uint8 [32], SHA-256 of the key and of all other arrays


class Cache:
    """A folder of .npz files, one an entry, named by what the entry was made from.

    Each carries a digest of its contents. One that is damaged, or that another version wrote, is
    made anew, never used. Several processes may share the folder: files are replaced whole.
    """

    def __init__(self, folder: str | Path):
        self.folder = existing_path(folder)
        check_writable(self.folder / "entry")

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r})"

    def mesh(self, path: str | Path) -> Mesh:
        """Load a .glb file as :func:`load_glb`, decoded once."""
        return self.get(_key("mesh", _content(path)), lambda: load_glb(path), _pack_mesh, _mesh)

    def rendered(self, path: str | Path, seed: int, size: int, **options: Any) -> PosedObject:
        """Render a mesh file as :func:`render_object`, once for each seed and size.

        ``options`` are those of :func:`render_object`; ``threads`` changes nothing in the images.
        """
        apart = {name: options[name] for name in sorted(options) if name != "threads"}
        key = _key("rendered", _content(path), seed, size, apart)
        make = lambda: render_object(  # noqa: E731
            self.mesh(path), np.random.default_rng(seed), size, **options
        )
        return self.get(key, make, _pack_object, _object)

    def posed(self, key: str, make: Callable[[], PosedObject]) -> PosedObject:
        """Make an object from any source; ``key`` must name everything that it depends on."""
        return self.get(_key("posed", key), make, _pack_object, _object)

    def get(
        self,
        key: str,
        make: Callable[[], Record],
        pack: Callable[[Record], Arrays],
        unpack: Callable[[Arrays], Record],
    ) -> Record:
        """Return the entry of a key; it is made and kept when there is none that is sound."""
        path = self.folder / f"{key}.npz"
        if path.is_file():
            try:
                return unpack(_read(path, key))
            except Exception as error:  # numpy, zip and zlib each raise their own
                warnings.warn(f"{str(path)!r} is damaged ({error}); it is made anew", stacklevel=2)
        record = make()
        arrays = pack(record)
        digest = np.frombuffer(_digest(key, arrays), np.uint8)
        with atomic_file(path) as file:
            entries: dict[str, Any] = {DIGEST: digest, **arrays}
            np.savez(file, **entries)
        return record


def _content(path: str | Path) -> str:
    """Hash a file by SHA-256, in hexadecimal digits."""
    path = existing_path(path)
    if not path.is_file():
        raise InputError(f"{str(path)!r} is no file; give a file to read and keep")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(*parts: Any) -> str:
    return hashlib.sha256(repr((FORMAT, RENDERER_VERSION, *parts)).encode()).hexdigest()[:40]


def _digest(key: str, arrays: Arrays) -> bytes:
    total = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.digest()


def _read(path: Path, key: str) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    digest = arrays.pop(DIGEST)
    if digest.tobytes() != _digest(key, arrays):
        raise ValueError("its contents do not have the digest that was stored with them")
    return arrays


def _pack_mesh(mesh: Mesh) -> Arrays:
    fields = {n: getattr(mesh, n) for n in ("vertices", "faces", "uv", "face_texture")}
    return fields | {f"texture_{i}": texture for i, texture in enumerate(mesh.textures)}


def _mesh(arrays: Arrays) -> Mesh:
    count = sum(name.startswith("texture_") for name in arrays)
    textures = tuple(arrays.pop(f"texture_{i}") for i in range(count))
    return Mesh(**arrays, textures=textures)


def _pack_object(posed: PosedObject) -> Arrays:
    fields = {n: getattr(posed, n) for n in ("rgba", "depth", "points")}
    return fields | {"c2w": posed.cameras.c2w, "intrinsics": posed.cameras.intrinsics}


def _object(arrays: Arrays) -> PosedObject:
    cameras = Cameras(arrays.pop("c2w"), arrays.pop("intrinsics"))
    return PosedObject(cameras=cameras, **arrays)
