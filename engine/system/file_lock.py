"""One process at a time: a lock that the system frees when its holder ends, however it ends."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from geolrm.engine.errors import GeoLRMError


@contextlib.contextmanager
def locked(file: Path, refusal: str, *, patience: float = 0.0, keep: bool = True) -> Iterator[None]:
    """Hold a lock file while the block runs; where the system has no such locks, just run it.

    Args:
        file: The lock file; its folder must exist.
        refusal: The sentence that says what another process is doing, and the way out.
        patience: Seconds to wait for the other process.
        keep: Leave the file behind.

    Raises:
        GeoLRMError: Another process still holds it when patience ends.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    deadline = time.monotonic() + patience
    while True:
        with file.open("ab") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise GeoLRMError(refusal) from error
                time.sleep(0.2)
                continue
            if not _is_same(file, opened.fileno()):  # its last holder removed it meanwhile
                continue
            try:
                yield
            finally:
                if not keep:
                    file.unlink(missing_ok=True)
            return


def _is_same(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
