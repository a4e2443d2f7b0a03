"""Captures that are quick to reconstruct, and the options that make them so."""

import pytest
from samples.small_captures import write_captures

from geolrm.fleet.options import CaptureOptions

QUICK = CaptureOptions(views="2", max_tokens=32, refine=0)


@pytest.fixture
def captures(tmp_path):
    """A folder of three captures: a, b and c."""
    return write_captures(tmp_path / "captures", "abc")


@pytest.fixture
def quick():
    return QUICK
