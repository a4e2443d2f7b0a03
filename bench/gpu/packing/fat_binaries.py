"""The kernels in a library of CUDA: which modules it holds, and leaving out those nobody launches.

A library built by nvcc holds one module (a "fat binary") for each source, and in it machine code
for each architecture. They stay where they are: what is left out becomes zeros, which pack to
nothing, and says that it is for an architecture that the GPU is not. CUDA loads a module when one
of its kernels is first used, so what is never used is never missed.
"""

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass

from geolrm.bench.gpu.packing import elf_file
from geolrm.engine.errors import GeoLRMError

SECTION, DATA = ".nv_fatbin", ".rodata"
MODULE = struct.Struct("<IHHQ")  # magic, version, bytes of this header, bytes behind it
MODULE_MAGIC = 0xBA55ED50
IMAGE = struct.Struct("<HHIQ")  # kind, version, bytes of the header, bytes behind it
KIND_ELF = 2  # machine code; 1 is PTX
ARCHITECTURE = 28  # offset in the image's header, 32 bits
OTHER = 75  # an architecture whose code no later GPU runs
CUBIN = re.compile(rb"\x7fELF\x02\x01\x01")


@dataclass(frozen=True, slots=True)
class Image:
    """The code of a module for one architecture."""

    header: int  # offset in the file
    offset: int  # of the code
    size: int  # bytes of the code
    kind: int
    architecture: int  # 90 of sm_90


@dataclass(frozen=True, slots=True)
class Module:
    """One fat binary."""

    address: int  # from the library's first byte on, as it is loaded
    images: tuple[Image, ...]


def modules(content: bytes | bytearray) -> list[Module]:
    """List the modules of a library.

    Raises:
        GeoLRMError: It holds none, or in a form that is not known here.
    """
    section = elf_file.sections(content).get(SECTION)
    if section is None:
        raise GeoLRMError("a library holds no CUDA kernels; is its wheel the one for GPUs?")
    found, place, end = [], section.offset, section.offset + section.size
    while place + MODULE.size <= end:
        magic, _, header, size = MODULE.unpack_from(content, place)
        if magic != MODULE_MAGIC:
            if any(content[place : place + 8]):
                raise GeoLRMError("the CUDA kernels of a library are in a form that is not known")
            place += 8
            continue
        address = section.address + place - section.offset
        found.append(Module(address, tuple(_images(content, place + header, size))))
        place += header + size
    return found


def _images(content: bytes | bytearray, place: int, size: int) -> list[Image]:
    images, end = [], place + size
    while place < end:
        kind, _, header, length = IMAGE.unpack_from(content, place)
        if header < ARCHITECTURE + 4 or place + header + length > end:
            raise GeoLRMError("an image of a library's CUDA kernels is in a form that is not known")
        architecture = struct.unpack_from("<I", content, place + ARCHITECTURE)[0]
        images.append(Image(place, place + header, length, kind, architecture))
        place += header + length
    return images


def prune(library: bytes, kept: Collection[int], architecture: int) -> bytes:
    """Leave of a library's kernels the code for one architecture in the modules that are used.

    Args:
        library: The file's content.
        kept: Addresses of modules, as :func:`modules` tells them.
        architecture: 90 for sm_90.

    Returns:
        A file of the same length, in which the rest is zeros.

    Raises:
        GeoLRMError: A module that is kept is not there, or has no code for the architecture.
    """
    pruned = bytearray(library)
    found = modules(pruned)
    missing = set(kept) - {module.address for module in found}
    if missing:
        raise GeoLRMError(f"a library has no module of kernels at {min(missing):#x}")
    for module in found:
        used = module.address in kept
        codes = [i for i in module.images if (i.kind, i.architecture) == (KIND_ELF, architecture)]
        if used and not codes:
            raise GeoLRMError(
                f"kernels at {module.address:#x} have no code for sm_{architecture}, only for "
                + ", ".join(f"sm_{image.architecture}" for image in module.images)
            )
        for image in module.images:
            if used and image in codes:
                continue
            pruned[image.offset : image.offset + image.size] = bytes(image.size)
            struct.pack_into("<H", pruned, image.header, KIND_ELF)
            struct.pack_into("<I", pruned, image.header + ARCHITECTURE, OTHER)
    _clear_cubins(pruned)
    return bytes(pruned)


def _clear_cubins(content: bytearray) -> None:
    """Zero whole cubins among the constants: attention kernels that our options never choose."""
    section = elf_file.sections(content).get(DATA)
    if section is None:
        return
    end = section.offset + section.size
    for match in CUBIN.finditer(bytes(content[section.offset : end])):
        start = section.offset + match.start()
        size = elf_file.length(content, start)
        if start + size <= end:
            content[start : start + size] = bytes(size)
