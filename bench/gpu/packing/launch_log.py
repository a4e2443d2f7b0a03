"""Which modules of ONNX Runtime's CUDA provider these graphs launch, found without a GPU.

The provider as it is installed runs them over ``launch_log.cpp`` in place of CUDA's libraries.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geolrm.bench.gpu.packing import elf_file
from geolrm.engine.errors import GeoLRMError

SOURCE = Path(__file__).with_name("launch_log.cpp")
RUNNER = Path(__file__).with_name("launch_runner.py")
NAMES = ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10",
         "libcufft.so.12", "libcudnn.so.9", "libcuda.so.1")  # fmt: skip
OF_CUDA = re.compile(r"(__)?cu(da|blas|rand|fft|dnn)?[A-Z]\w*")
OF_CUDNN = re.compile(rb"\0(cudnn[A-Z]\w+)(?=\0)")  # looked up by name while it runs


def build(provider: bytes, folder: Path) -> Path:
    """Compile the launch log with every symbol that the provider needs; return its folder.

    Raises:
        GeoLRMError: There is no g++, or it does not compile.
    """
    source = SOURCE.read_text(encoding="utf-8")
    needed = {name for name in elf_file.undefined_symbols(provider) if OF_CUDA.fullmatch(name)}
    constants = elf_file.sections(provider)[".rodata"]
    end = constants.offset + constants.size
    needed |= {n.decode() for n in OF_CUDNN.findall(provider[constants.offset : end])}
    others = [name for name in sorted(needed) if not re.search(rf"\b{name}\(", source)]
    lines = [source, 'extern "C" {', *(f"int {name}() {{ return 0; }}" for name in others), "}"]
    folder.mkdir(parents=True, exist_ok=True)
    code, library = folder / "launch_log.cpp", folder / "launch_log.so"
    code.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-o", library, code, "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = " ".join((getattr(error, "stderr", "") or str(error)).split())[:300]
        raise GeoLRMError(f"the launch log does not compile ({reason}); install g++") from error
    for name in NAMES:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)
    return folder


def launched(
    python: str,
    packages: Path,
    libraries: Path,
    graphs: Sequence[Mapping[str, Any]],
    options: Mapping[str, str],
) -> dict[int, list[str]]:
    """Run graphs; return the kernels of each module that they use, by the module's address.

    Args:
        python: An interpreter of the version that the packages are for.
        packages: The folder of ONNX Runtime and what it imports.
        libraries: Of :func:`build`.
        graphs: For ``launch_runner.py``.
        options: Of the CUDA provider.

    Raises:
        GeoLRMError: It does not run; with the end of what it said.
    """
    log = libraries / "launches.txt"
    log.unlink(missing_ok=True)
    variables = {"LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(packages)}
    done = subprocess.run(
        [python, str(RUNNER)], input=json.dumps({"graphs": list(graphs), "options": dict(options)}),
        env=os.environ | variables | {"LAUNCH_LOG": str(log)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        told = " ".join(done.stdout.split())[-600:]
        raise GeoLRMError(f"the launch log's graphs do not run ({done.returncode}): {told}")
    return parse(log.read_text(encoding="utf-8") if log.exists() else "")


def parse(log: str) -> dict[int, list[str]]:
    """Read the log's lines: the address of a module, and a kernel of it."""
    found: dict[int, list[str]] = {}
    for line in log.splitlines():
        address, _, name = line.partition(" ")
        found.setdefault(int(address, 16), []).append(name)
    return {address: sorted(set(names)) for address, names in sorted(found.items())}
