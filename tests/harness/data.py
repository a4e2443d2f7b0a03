"""Where recorded arrays lie, and the full data set of which the repository holds a part."""

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
FULL_DATA = os.environ.get("GEOLRM_TEST_DATA")  # the folder of the full data set, if there is one
needs_full_data = pytest.mark.skipif(FULL_DATA is None, reason="GEOLRM_TEST_DATA names no folder")


def full_data(name: str) -> Path:
    """A folder of the full data set, of which the repository holds a part in tests/data."""
    assert FULL_DATA is not None, "only tests under needs_full_data ask for it"
    return Path(FULL_DATA) / name
