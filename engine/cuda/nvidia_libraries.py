"""Load NVIDIA's libraries from wherever pip has put them.

ONNX Runtime looks for them beside itself alone, ``cuda.bindings`` in the interpreter's own folders.
They may lie in another entry of ``sys.path``: where one was installed with ``--target``, or over
the packages of a machine that has torch.
"""

import contextlib
import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

# What ONNX Runtime's CUDA provider links to or opens, each after what it needs itself.
LINUX = (
    "libcudart.so.13", "libnvJitLink.so.13", "libcublasLt.so.13",
    "libcublas.so.13", "libcurand.so.10", "libcufft.so.12", "libcudnn.so.9",
)  # fmt: skip
WINDOWS = ("cudart64_13.dll", "cublasLt64_13.dll", "cublas64_13.dll", "cufft64_12.dll",
           "cudnn64_9.dll")  # fmt: skip
LIBRARIES = WINDOWS if sys.platform == "win32" else LINUX
# With what it opens by name: both lie in one folder, which it does not search.
NVRTC = (
    ("nvrtc-builtins64_130.dll", "nvrtc64_130_0.dll")
    if sys.platform == "win32"
    else ("libnvrtc-builtins.so.13.0", "libnvrtc.so.13")
)
FOLDERS = ("nvidia/*/bin/x86_64", "nvidia/*/bin") if sys.platform == "win32" else ("nvidia/*/lib",)


def load_libraries(
    names: Iterable[str] = LIBRARIES, entries: Iterable[str] | None = None
) -> list[Path]:
    """Load each library from the first entry that has it; who needs it by name then finds it.

    Args:
        names: Of the files, each after those that it depends on.
        entries: Folders of packages; None takes ``sys.path``.

    Returns:
        The files that were loaded. What lies nowhere is left to the system's loader.
    """
    roots = [Path(entry or ".") for entry in (sys.path if entries is None else entries)]
    folders = [folder for root in roots for pattern in FOLDERS for folder in _found(root, pattern)]
    loaded = []
    for name in names:
        for folder in folders:
            path = folder / name
            if not path.is_file():
                continue
            with contextlib.suppress(OSError):  # of another machine, or without what it needs
                ctypes.CDLL(str(path))
                loaded.append(path)
                break
    return loaded


def _found(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(root.glob(pattern))
    except OSError:  # an entry that cannot be read
        return []
