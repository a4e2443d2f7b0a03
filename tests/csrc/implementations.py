"""Where an operator runs: each instruction set of this CPU, CUDA as emulated here, a real GPU."""

from dataclasses import dataclass
from typing import Any

import pytest
from csrc.cuda.emulated_device import EmulatedDevice

from geolrm import _C
from geolrm.engine.errors import GeoLRMError

_FAMILIES = (["plain", "avx2", "avx512"], ["plain", "neon"])  # each set has those before it
_FAMILY = next(family for family in _FAMILIES if _C.best_isa() in family)
ISAS = _FAMILY[: _FAMILY.index(_C.best_isa()) + 1]
DEVICES = ["emulated", pytest.param("gpu", marks=pytest.mark.gpu)]


@dataclass(frozen=True)
class Implementation:
    """One of them; ``device`` is None on the CPU, where ``name`` is the instruction set."""

    name: str
    device: Any = None


def open_device(name: str) -> Any:
    if name == "emulated":
        return EmulatedDevice()
    try:
        from geolrm.engine.cuda.device import open_device

        return open_device(0)
    except (ImportError, GeoLRMError) as error:
        pytest.skip(f"no GPU: {error}")


def shuffle(device: Any, seed: int) -> None:
    """Let the emulation take threads and blocks in another order; a GPU has its own."""
    if isinstance(device, EmulatedDevice):
        device.seed = seed


def implement(name: str) -> Implementation:
    return Implementation(name, None if name in ISAS else open_device(name))
