"""The kernels' sources, shipped with the package: the wheel needs no compiler anywhere."""

import hashlib
import re
from pathlib import Path

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)  # relative to FOLDER

# Beside `engine` both in a checkout and in an installed package; on the include path, as it is for
# the native extension.
FOLDER = Path(__file__).resolve().parents[2] / "csrc"


def text(name: str) -> str:
    """The source of a kernel: ``csrc/cuda/NAME.cu``."""
    return (FOLDER / "cuda" / f"{name}.cu").read_text(encoding="utf-8")


def names() -> list[str]:
    """All kernels' sources, sorted."""
    return sorted(path.stem for path in (FOLDER / "cuda").glob("*.cu"))


def fingerprint(name: str) -> str:
    """A hash of a kernel's source and of every header that it includes, whatever way."""
    digest = hashlib.sha256()
    for path in included(FOLDER / "cuda" / f"{name}.cu"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def included(source: Path) -> list[Path]:
    """A source and the headers under :data:`FOLDER` that it includes, each once, in a fixed order.

    Conditions are not evaluated: a header that only some compiler sees counts too.
    """
    found, waiting = [], [source]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():  # the emulated device lies elsewhere
            continue
        found.append(path)
        waiting += [FOLDER / each for each in INCLUDE.findall(path.read_text(encoding="utf-8"))]
    return [source, *sorted(path for path in found if path != source)]
