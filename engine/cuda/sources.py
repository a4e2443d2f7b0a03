"""The kernels' sources, shipped with the package: the wheel needs no compiler anywhere."""

import functools
import hashlib
from importlib import resources
from pathlib import Path

FOLDERS = ("cuda", "arithmetic")


@functools.cache
def folder() -> Path:
    """The folder on the include path, as ``csrc`` is for the native extension."""
    import geolrm.csrc

    return Path(str(resources.files(geolrm.csrc)))


def text(name: str) -> str:
    """The source of a kernel: ``csrc/cuda/NAME.cu``."""
    return (folder() / "cuda" / f"{name}.cu").read_text(encoding="utf-8")


def names() -> list[str]:
    """All kernels' sources, sorted."""
    return sorted(path.stem for path in (folder() / "cuda").glob("*.cu"))


def fingerprint(name: str) -> str:
    """A hash of a kernel's source and of every header it could include."""
    headers = (path for each in FOLDERS for path in (folder() / each).glob("*.h"))
    digest = hashlib.sha256()
    for path in [folder() / "cuda" / f"{name}.cu", *sorted(headers)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
