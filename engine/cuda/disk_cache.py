"""Machine code that is kept on disk, to be made again whenever it is missing or damaged."""

import hashlib
import os
import sys
from pathlib import Path

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_file


def cache_folder() -> Path:
    """``$GEOLRM_CACHE``, or the platform's folder for caches."""
    chosen = os.environ.get("GEOLRM_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "geolrm"
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "geolrm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geolrm"


def read_code(path: Path) -> bytes | None:
    """Read what was written, or None where there is nothing or something else."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, code = stored[:32], stored[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def write_code(path: Path, code: bytes) -> None:
    """Write the whole or nothing; a folder that cannot be written to is no error."""
    try:
        with atomic_file(path) as file:
            file.write(hashlib.sha256(code).digest() + code)
    except InputError:  # a read-only home: made again next time
        pass
