"""Where results are handed over."""

from typing import Literal

from geolrm.engine.errors import InputError

# NumPy arrays, or the backend's own: in device memory on a GPU, NumPy on the CPU. Either has
# ``__dlpack__`` and stands in a class with ``numpy()``, so the same code reads both.
Output = Literal["numpy", "device"]


def check_output(output: str) -> None:
    """Refuse an unknown kind of output."""
    if output not in ("numpy", "device"):
        raise InputError(f"output is {output!r}; it must be 'numpy' or 'device'")
