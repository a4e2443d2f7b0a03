"""The kernels' sources, shipped with the package: the wheel needs no compiler anywhere."""

import hashlib
import re
from pathlib import Path

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)  # relative to FOLDER

# Beside `engine` both in a checkout and in an installed package; on the include path, as it is for
# the native extension.
FOLDER = Path(__file__).resolve().parents[2] / "csrc"


def path(name: str) -> Path:
    """Return where a source lies: ``grid_sample`` or, of several, ``rasterizer/blend``."""
    operator, _, stage = name.partition("/")
    return FOLDER / operator / f"{stage or operator}.cu"


def text(name: str) -> str:
    """Return the source of a kernel."""
    return path(name).read_text(encoding="utf-8")


def names() -> list[str]:
    """Return the names of all sources, sorted."""
    found = [(path.parent.name, path.stem) for path in FOLDER.glob("*/*.cu")]
    return sorted(stem if stem == folder else f"{folder}/{stem}" for folder, stem in found)


def fingerprint(name: str) -> str:
    """Hash a kernel's source and of every header that it includes, whatever way."""
    digest = hashlib.sha256()
    for file in included(path(name)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def included(source: Path) -> list[Path]:
    """List a source and the headers under :data:`FOLDER` that it includes, each once, in order.

    Conditions are not evaluated: a header that only some compiler sees counts too.
    """
    found, waiting = [], [source]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():  # the emulated device lies elsewhere
            continue
        found.append(file)
        waiting += [FOLDER / each for each in INCLUDE.findall(file.read_text(encoding="utf-8"))]
    return [source, *sorted(file for file in found if file != source)]
