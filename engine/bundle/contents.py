"""The files of a bundle in private memory: read once, checked there, and used from there.

What a file becomes afterwards is then nobody's concern: a mapped one ends the process where it is
truncated, and changes results where it is overwritten.
"""

import contextlib
import hashlib
import io
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from geolrm.engine.bundle.manifest import FileEntry

PIECE = 1 << 20  # bytes of what is hashed and not kept
LARGE = 1 << 20  # bytes; larger pieces of memory are given back to the system when they are freed
Content = bytes | mmap.mmap  # the latter of no file: memory
KINDS = {"F16": np.float16, "F32": np.float32}  # of the weights that kernels take
MAX_AXES = 32
MAX_HEADER_BYTES = 16 << 20
LENGTH_BYTES = 8  # of a safetensors file: the length of its header


class Unfit(Exception):
    """A file that is not what the manifest says; the text follows the file's name."""


class _Header(msgspec.Struct):
    metadata: dict[str, str] = msgspec.field(name="__metadata__", default_factory=dict)


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def check_place(path: Path, folder: Path) -> None:
    """Refuse what is no file, or a link out of its folder.

    Raises:
        Unfit: With the reason.
    """
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise Unfit(
            f"is a link out of the folder, to {os.readlink(path)!r}; copy the bundle with the "
            "files themselves: cp -rL FROM TO"
        )
    if not path.is_file():
        raise Unfit("is missing")


def read_file(path: Path, entry: FileEntry, *, keep: bool) -> Content | None:
    """Read a file and compare it with its entry of the manifest.

    Args:
        path: Of the file, which may change at any time.
        entry: Its size and hash.
        keep: Return the content, in memory that is ours alone; what is returned is what was hashed.

    Raises:
        Unfit: It is of another size or has another hash.
        OSError: The system does not let it be read.
    """
    digest, size, content = hashlib.sha256(), 0, None
    with path.open("rb") as file:
        stated = os.fstat(file.fileno()).st_size
        if stated == entry.bytes and keep:
            content, size = _content(file, entry.bytes)
            digest.update(content)
        elif stated == entry.bytes:
            while size < entry.bytes and (piece := file.read(min(PIECE, entry.bytes - size))):
                size += len(piece)
                digest.update(piece)
        else:
            size = stated
    if size != entry.bytes:
        raise Unfit(
            f"has {size} bytes, its manifest says {entry.bytes}: it is truncated or was changed"
        )
    if digest.hexdigest() != entry.sha256:
        raise Unfit("does not match its checksum: it is corrupt")
    return content


def _content(file: io.BufferedReader, size: int) -> tuple[Content, int]:
    """Read so many bytes at most; return them and how many there were."""
    if size < LARGE:
        content = file.read(size)
        return content, len(content)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    content = mmap.mmap(-1, size, **private)
    return content, file.readinto(content)


def read_tensors(content: Content, names: set[str]) -> dict[str, NDArray]:
    """Return tensors of a safetensors file, float16 or float32, as copies.

    Raises:
        KeyError: It holds no tensor of a name, which is the error's argument.
        ValueError: It is damaged, or holds something else under a name.
    """
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    data = LENGTH_BYTES + length
    if not LENGTH_BYTES < data <= len(content):
        raise ValueError(f"its header has {length} bytes, the file {len(content)}")
    header: Mapping[str, msgspec.Raw] = msgspec.json.decode(
        memoryview(content)[LENGTH_BYTES:data], type=dict[str, msgspec.Raw]
    )
    return {name: _tensor(content, data, header[name], name) for name in sorted(names)}


def read_metadata(path: Path) -> Mapping[str, str]:
    """Return what the header of a safetensors file says of it, reading no more than the header.

    Raises:
        Unfit: It is no file, or a link out of its folder.
        ValueError: It is damaged.
        OSError: The system does not let it be read.
    """
    check_place(path, path.parent)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes")
        return msgspec.json.decode(file.read(length), type=_Header).metadata


def _tensor(content: Content, data: int, raw: msgspec.Raw, name: str) -> NDArray:
    entry = msgspec.json.decode(raw, type=_Entry)
    kind = KINDS.get(entry.dtype)
    if kind is None:
        raise ValueError(f"{name!r} is {entry.dtype!r}, not one of {', '.join(KINDS)}")
    first, last = entry.data_offsets
    if len(entry.shape) > MAX_AXES:
        raise ValueError(f"{name!r} has {len(entry.shape)} axes")
    count = math.prod(entry.shape)
    inside = 0 <= first <= last <= len(content) - data
    if min(entry.shape, default=0) < 0 or not inside or last - first != count * kind().itemsize:
        raise ValueError(f"{name!r} has shape {entry.shape} in bytes {first} to {last}")
    return np.frombuffer(content, kind, count, data + first).reshape(entry.shape).copy()


def memory_of_machine() -> int | None:
    """Return the bytes of memory that this machine has; None where it does not say."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
