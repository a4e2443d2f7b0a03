"""CUDA sources to machine code with NVRTC, kept on disk: no toolkit, and no GPU either."""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from geolrm.engine.cuda import sources
from geolrm.engine.cuda.disk_cache import cache_folder, read_code, write_code
from geolrm.engine.cuda.nvidia_libraries import NVRTC, load_libraries
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import KERNEL_PACKAGES, require

ARCHITECTURE = re.compile(r"(sm|compute)_\d{2,3}[af]?")


@dataclass(frozen=True, slots=True)
class Compiled:
    """Machine code of one kernel source."""

    code: bytes  # a cubin for sm_NN, PTX for compute_NN
    kind: str  # "cubin" or "ptx"
    log: str  # what ptxas says of registers and spills; empty for PTX

    def __repr__(self) -> str:
        return f"Compiled({self.kind}, {len(self.code)} bytes)"


def require_packages() -> None:
    """Refuse in one sentence when a package that compiles or launches is not installed."""
    for package in KERNEL_PACKAGES:
        require(package, "a CUDA kernel")


@functools.cache
def compiler_version() -> str:
    """Major and minor version of the NVRTC that would be loaded."""
    require_packages()
    from cuda.bindings import nvrtc  # pyright: ignore

    try:
        try:
            status, major, minor = nvrtc.nvrtcVersion()
        except Exception:  # it looks in the interpreter's own folders alone
            if not load_libraries(NVRTC):
                raise
            status, major, minor = nvrtc.nvrtcVersion()
    except Exception as error:  # the loader's own error types differ between its versions
        raise GeoLRMError(
            f"the CUDA compiler cannot be loaded ({str(error).splitlines()[0]}); run: "
            "pip install --force-reinstall nvidia-cuda-nvrtc"
        ) from error
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise GeoLRMError(f"NVRTC does not tell its version: {status!r}")
    return f"{major}.{minor}"


def compile_source(
    name: str, arch: str, defines: Mapping[str, str | int] | None = None, *, cache: bool = True
) -> Compiled:
    """Compile a source of ``csrc``.

    Args:
        name: of the source, see :func:`geolrm.engine.cuda.sources.path`.
        arch: ``sm_90`` for machine code of that very GPU, ``compute_75`` for PTX that later GPUs'
            drivers finish.
        defines: macros, the storage types and tile sizes of a kernel.
        cache: look on disk first and keep the result there; False for a fresh log.

    Raises:
        InputError: for an architecture that NVRTC does not know.
        GeoLRMError: where a package is missing, or the source does not compile.
    """
    if not ARCHITECTURE.fullmatch(arch):
        raise InputError(f"arch is {arch!r}; it must be sm_NN or compute_NN, such as sm_90")
    macros = {key: str(value) for key, value in sorted((defines or {}).items())}
    kind = "cubin" if arch.startswith("sm_") else "ptx"
    if not cache:
        return _compile(name, arch, kind, macros)
    label = name.replace("/", ".")
    path = cache_folder() / "kernels" / f"{label}.{arch}.{_key(name, arch, macros)}.{kind}"
    code = read_code(path)
    if code is None:
        compiled = _compile(name, arch, kind, macros)
        write_code(path, compiled.code)
        return compiled
    return Compiled(code, kind, "")


def _key(name: str, arch: str, macros: Mapping[str, str]) -> str:
    parts = [sources.fingerprint(name), arch, compiler_version(), macros]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _compile(name: str, arch: str, kind: str, macros: Mapping[str, str]) -> Compiled:
    # NVRTC itself: cuda.core's Program asks the driver its version before it gives out PTX.
    version = compiler_version()
    from cuda.bindings import nvrtc  # pyright: ignore

    options = [f"--gpu-architecture={arch}", "--std=c++17", f"--include-path={sources.FOLDER}"]
    options += [f"--define-macro={key}={value}" for key, value in macros.items()]
    if kind == "cubin":
        options.append("--ptxas-options=-v")
    text, file = sources.text(name).encode(), f"{name}.cu".encode()
    status, program = nvrtc.nvrtcCreateProgram(text, file, 0, [], [])
    _check(status, "nvrtcCreateProgram")
    try:
        encoded = [option.encode() for option in options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        log = _output(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        message = log.rstrip(b"\0").decode("utf-8", "replace")
        if "invalid value for --gpu-architecture" in message:
            raise InputError(f"arch is {arch!r}; NVRTC {version} does not compile for it")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise GeoLRMError(f"{name}.cu does not compile for {arch}: {message.strip()}")
        if kind == "cubin":
            code = _output(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
        else:
            code = _output(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX).rstrip(b"\0")
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return Compiled(code, kind, message)


def _output(program: Any, measure: Callable, fetch: Callable) -> bytes:
    status, size = measure(program)
    _check(status, measure.__name__)
    # The bindings write into it, so it must not be one of Python's shared one-byte objects.
    buffer = b" " * max(size, 2)
    (status,) = fetch(program, buffer)
    _check(status, fetch.__name__)
    return buffer[:size]


def _check(status: Any, call: str) -> None:
    if int(status) != 0:
        raise GeoLRMError(f"{call} failed: {status!r}")
