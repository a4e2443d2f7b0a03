"""What is counted on ARM runs here, too, on every instruction set, and fills what it should."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from csrc.implementations import ISAS

KERNELS = runpy.run_path(str(Path(__file__).with_name("kernels.py")))["KERNELS"]


def arrays_of(call):
    """The arrays that a kernel's call holds, those in lists too."""
    held = [cell.cell_contents for cell in call.__closure__]
    flat = [each for value in held for each in (value if isinstance(value, list) else [value])]
    return [each for each in flat if isinstance(each, np.ndarray)]


@pytest.mark.parametrize("name", KERNELS)
def test_each_kernel_changes_its_results_alike(name):
    call = KERNELS[name]()
    results = []
    for isa in ISAS:
        before = [array.copy() for array in arrays_of(call)]
        call(isa)
        after = [array.copy() for array in arrays_of(call)]
        results.append(after)
        changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert any(changed) or isa != ISAS[0]
        assert all(np.isfinite(array).all() for array in after)
    if not name.endswith("_backward"):  # which adds to what is there
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_allclose(a, b, atol=2e-3)
