"""What CUDA reports, as one sentence."""

import contextlib
from collections.abc import Iterator
from typing import Any

from geolrm.engine.errors import GeoLRMError


def check(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a call of ``cuda.bindings`` gives beside its status.

    Raises:
        GeoLRMError: The status is an error.
    """
    status, *values = result
    if int(status) != 0:
        raise _fault(repr(status))
    return tuple(values)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Raise what CUDA raises as an error of ours."""
    try:
        yield
    except GeoLRMError:
        raise
    except Exception as error:  # CUDAError, of the bindings or of cuda.core
        raise _fault(first_line(error)) from error


def _fault(reason: str) -> GeoLRMError:
    return GeoLRMError(
        f"the GPU reports {reason}; nothing was reconstructed: start the program again, since a "
        "GPU's fault ends all that a program does there"
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class where there is none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
