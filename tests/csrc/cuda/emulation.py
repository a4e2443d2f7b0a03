"""Launches on an emulated device: the same sources, geometry and arguments, run by the host."""

import ctypes
import functools
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from geolrm.engine.cuda import sources
from geolrm.engine.cuda.launch import Call, Source

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build" / "emulation"
FLAGS = ["-std=c++17", "-O1", "-g1", "-fPIC", "-shared", "-fno-strict-aliasing"]
FLAGS += ["-ffp-contract=off", "-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas"]
RELEASED = "16,48,2,8,8"  # deformable cross-attention as engines compile it
OUTCOMES = {
    1: "threads wait for others that never come",
    2: "writes beyond the dynamic shared memory",
    3: "a launch that no device takes",
}


class EmulationError(Exception):
    """What would be undefined on a device."""


def run(calls: Iterable[Call], seed: int = 0) -> None:
    """Run launches one after another; ``seed`` shuffles the order of blocks and threads."""
    for call in calls:
        if 0 in call.launch.grid:
            continue
        library = _library(call.source.name, json.dumps(dict(call.source.defines), sort_keys=True))
        arguments = (ctypes.c_longlong * len(call.arguments))(*map(int, call.arguments))
        outcome = library.emulate(
            ctypes.cast(getattr(library, call.entry), ctypes.c_void_p),
            (ctypes.c_uint * 3)(*call.launch.grid),
            (ctypes.c_uint * 3)(*call.launch.block),
            call.launch.shared_bytes,
            arguments,
            len(arguments),
            ctypes.c_uint(seed),
        )
        if outcome:
            raise EmulationError(f"{call!r}: {OUTCOMES[outcome]}")


def address(array: np.ndarray) -> int:
    """A NumPy array as a kernel's argument."""
    assert array.flags.c_contiguous
    return array.ctypes.data


@functools.cache
def _library(name: str, defines: str) -> ctypes.CDLL:
    """The source with these macros, built once."""
    given = json.loads(defines)
    if given.get("GEOLRM_GEOMETRY", RELEASED) != RELEASED:  # one build for all others
        given["GEOLRM_GEOMETRY"] = "0,0,0,0,0"  # it is among the arguments too
        defines = json.dumps(given, sort_keys=True)
    source = Source(name, given)
    device = [HERE / "emulated_device.h", HERE / "emulated_device.cpp"]
    digest = hashlib.sha256(sources.fingerprint(name).encode() + defines.encode())
    for path in [*device, Path(__file__)]:
        digest.update(path.read_bytes())
    path = BUILD / f"{sources.path(name).stem}.{digest.hexdigest()[:24]}.so"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            built = Path(folder) / path.name
            macros = [f"-D{key}={value}" for key, value in source.defines.items()]
            file = sources.path(name)
            subprocess.run(
                ["g++", *FLAGS, *macros, f"-I{sources.FOLDER}", f"-I{HERE}", "-o", str(built),
                 str(device[1]), "-x", "c++", str(file)],
                check=True,
            )  # fmt: skip
            os.replace(built, path)
    return ctypes.CDLL(str(path))
