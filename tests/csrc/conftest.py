"""The implementations of an operator, one after the other."""

import pytest
from csrc.implementations import DEVICES, ISAS, implement, open_device


@pytest.fixture(scope="session", params=ISAS)
def isa(request):
    return request.param


@pytest.fixture(scope="session", params=DEVICES)
def device(request):
    return open_device(request.param)


@pytest.fixture(scope="session", params=[*ISAS, *DEVICES])
def implementation(request):
    return implement(request.param)


@pytest.fixture(scope="session", params=[ISAS[-1], *DEVICES])
def renderer(request):
    """For what does not hang on the instruction set: the CPU's best, and CUDA."""
    return implement(request.param)
