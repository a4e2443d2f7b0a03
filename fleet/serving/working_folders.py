"""Folders of a server among the system's temporary ones; those of killed servers go."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from geolrm.engine.system.temporary import remove_leftovers, temporary_folder


@contextlib.contextmanager
def working_folder(kind: str) -> Iterator[Path]:
    """Yield an empty folder, and remove it; and before, those whose processes were killed.

    Args:
        kind: What its name says is in it.
    """
    target = Path(tempfile.gettempdir(), f"geolrm-{kind}")
    remove_leftovers(target)
    with temporary_folder(target) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
