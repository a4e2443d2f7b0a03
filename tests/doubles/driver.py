"""NVIDIA's own Python packages on a driver without a GPU.

The driver is a small library in place of ``libcuda.so.1``: what is installed of ``cuda.core`` and
``cuda.bindings`` runs as it would on a GPU, so that each of our calls is taken by the real package.
Kernels run by emulation, or not at all.
"""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
BUILD = TESTS.parent / "build" / "driver_double"
PARAMETER = re.compile(r"\.param \.[usbf](\d+)")


def build() -> Path:
    """The folder of the driver, compiled where its source has changed."""
    source, library = Path(__file__).with_suffix(".cpp"), BUILD / "libcuda.so.1"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        made = BUILD / f"{os.getpid()}.so"
        command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
        subprocess.run([*command, "-o", made, source, "-ldl"], check=True)
        os.replace(made, library)
    return BUILD


def environment(log: Path | None = None, **others: str) -> dict[str, str]:
    """Of a process that shall find the driver."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    libraries = os.pathsep.join([str(build()), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    variables = {"LD_LIBRARY_PATH": libraries, "PYTHONPATH": path, **others}
    if log is not None:
        variables["DRIVER_DOUBLE_LOG"] = str(log)
    return os.environ | variables


def run(code: str, *, log: Path | None = None, timeout: int = 300, **variables: str) -> str:
    """The output of a program on the driver."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(log, **variables), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def use_kernels(*, emulated: bool = True) -> None:
    """Give the driver, in place of machine code, what it can run; called in its process."""
    from geolrm.engine.cuda import launch
    from geolrm.engine.cuda.compiler import Compiled

    def compile_source(name, arch, defines=None, *, cache=True):
        given = json.dumps(dict(defines or {}), sort_keys=True)
        return Compiled(_text(name, arch, given, emulated), "cubin", "")

    launch.compile_source = compile_source


@functools.cache
def _text(name: str, arch: str, defines: str, emulated: bool) -> bytes:
    """The emulated kernels' library, then each kernel with the sizes of its parameters."""
    from csrc.cuda import emulation
    from geolrm.engine.cuda import compiler

    virtual = arch.replace("sm_", "compute_")
    ptx = compiler.compile_source(name, virtual, json.loads(defines)).code.decode()
    lines = [emulation._library(name, defines)._name if emulated else ""]
    for entry, parameters in re.findall(r"\.entry (\w+)\(([^)]*)\)", ptx):
        sizes = [str(int(bits) // 8) for bits in PARAMETER.findall(parameters)]
        lines.append(" ".join([entry, *sizes]))
    return "\n".join(lines).encode() + b"\0"
