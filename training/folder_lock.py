"""One run at a time in a folder."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from geolrm.engine.errors import GeoLRMError

PATIENCE = 60.0  # seconds; processes that lost their parent save and leave within a step
LOCK_NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it ends.

    Raises:
        GeoLRMError: Another process holds it, and did not leave.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with (folder / LOCK_NAME).open("a") as file:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise GeoLRMError(
                        f"another process trains in {str(folder)!r}; wait for it, or choose "
                        "another folder"
                    ) from error
                time.sleep(0.2)
        yield
