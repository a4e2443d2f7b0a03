"""The kernels' sources, shipped with the package: the wheel needs no compiler anywhere."""

import hashlib
from pathlib import Path

FOLDERS = ("cuda", "arithmetic")


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
    """A hash of a kernel's source and of every header it could include."""
    headers = (path for each in FOLDERS for path in (FOLDER / each).glob("*.h"))
    digest = hashlib.sha256()
    for path in [FOLDER / "cuda" / f"{name}.cu", *sorted(headers)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
