"""npz: the arrays of Gaussians under their own names, float32, as NumPy reads them.

``means`` [N, 3], ``opacities`` [N], ``scales`` [N, 3], ``quats`` [N, 4] (wxyz) and ``colors``
[N, 3] or ``sh`` [N, K, 3]. Nothing is unpickled.
"""

from __future__ import annotations

import io
import math
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import archive
from geolrm.engine.formats.untrusted import LARGEST_COUNT, Decoded, assemble, check_count
from geolrm.engine.gaussian_arrays import GaussianArrays

NAMES = ("means", "opacities", "scales", "quats")
TAILS = {"means": (3,), "opacities": (), "scales": (3,), "quats": (4,), "colors": (3,)}
ALIGNMENT = 64  # bytes: arrays may be mapped into memory
MOST_FLOATS = 59  # a splat, of 8 bytes at most
LARGEST_HEADER = 1 << 12


def encode(gaussians: GaussianArrays) -> bytes:
    """Write a whole file, in the order and frame of the Gaussians."""
    members = {}
    for field in fields(GaussianArrays):
        array = getattr(gaussians, field.name)
        if array is not None:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            members[f"{field.name}.npy"] = buffer.getvalue()
    return archive.write(members, align=ALIGNMENT)


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes, from its first bytes."""
    if head[:4] != archive.LOCAL_MAGIC:
        raise InputError(f"{name} is no npz file; it must begin as a ZIP archive does")
    most = LARGEST_COUNT * MOST_FLOATS * 8 + (1 << 20)
    if size > most:
        raise InputError(f"{name} has {size} bytes; at most {most} are read: split the file")


def decode(content: bytes, name: str) -> Decoded:
    """Read a whole file, in the file's frame."""
    check(content[:4], len(content), name)
    members = archive.read(content, name)
    wanted = [*NAMES, "sh" if "sh.npy" in members else "colors"]
    lacking = [key for key in wanted if f"{key}.npy" not in members]
    if lacking:
        raise InputError(
            f"{name} has no array {lacking[0]!r}; Gaussians have means, opacities, scales, quats "
            "and colors or sh"
        )
    arrays = {key: _array(members[f"{key}.npy"], f"{name}: {key}") for key in wanted}
    count = len(arrays["means"]) if arrays["means"].ndim else 0
    check_count(count, name)
    for key, array in arrays.items():
        sound = array.shape[1:] == TAILS.get(key, ())
        if key == "sh":
            sound = array.shape[1:] in ((1, 3), (4, 3), (9, 3), (16, 3))
        if array.ndim == 0 or len(array) != count or not sound:
            raise InputError(
                f"{name} has {key} of shape {array.shape}; see the shapes of geolrm.Gaussians"
            )

    def part(rows: slice) -> dict[str, NDArray]:
        with np.errstate(over="ignore"):  # becomes infinity, and such splats are left out
            return {key: array[rows].astype(np.float32) for key, array in arrays.items()}

    return assemble(name, count, part)


def _array(content: bytes, name: str) -> NDArray:
    """View the numbers of a .npy file as floats of its own width."""
    buffer = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(buffer)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        read = np.lib.format.read_array_header_1_0
        read = read if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(buffer, max_header_size=LARGEST_HEADER)
    except Exception as error:  # what NumPy raises for headers that are none differs by version
        raise InputError(f"{name} is no array of NumPy: {str(error)[:100]}") from error
    start = buffer.tell()
    plausible = len(shape) <= 3 and all(0 <= length <= LARGEST_COUNT for length in shape)
    needed = dtype.itemsize * math.prod(shape)
    if not plausible or dtype.kind != "f" or dtype.itemsize > 8 or len(content) - start != needed:
        raise InputError(
            f"{name} holds {dtype} of shape {shape} in {len(content) - start} bytes; floats of at "
            "most 64 bits are read"
        )
    order = "F" if by_column else "C"
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order=order)
