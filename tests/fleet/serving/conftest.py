"""One server for the tests of a module."""

import warnings

import pytest
from harness.served import client_of, serving


@pytest.fixture(scope="session")
def address(engine):
    with serving(engine) as found:
        yield found


@pytest.fixture
def client(address):
    with client_of(address) as opened:
        yield opened


@pytest.fixture(autouse=True)
def warnings_as_before():
    """The server writes warnings to its log, in this process, too."""
    shown, filters = warnings.showwarning, warnings.filters[:]
    yield
    warnings.showwarning, warnings.filters[:] = shown, filters
