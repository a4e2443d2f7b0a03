"""The options of rendering, checked once for the rasterizers of both devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from geolrm import _C
from geolrm.engine.errors import InputError


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How Gaussians become pixels; :func:`geolrm.render` says what each option does.

    Raises:
        InputError: An option is of another type, or out of its range.
    """

    background: Sequence[float] = (1.0, 1.0, 1.0)  # red, green, blue
    near: float = 0.01  # scene units
    eps2d: float = 0.3  # px^2
    alpha_max: float = 0.99
    antialiased: bool = False
    # The same as the native code takes them, with the constants that nobody chooses.
    parameters: _C.RasterParameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with native_errors():
            parameters = _C.RasterParameters(
                background=_checked_color(self.background),
                near=_checked_number("near", self.near),
                eps2d=_checked_number("eps2d", self.eps2d),
                alpha_max=_checked_number("alpha_max", self.alpha_max),
                antialiased=_checked_switch("antialiased", self.antialiased),
            )
        object.__setattr__(self, "parameters", parameters)


@contextlib.contextmanager
def native_errors() -> Iterator[None]:
    """Raise what the native code refuses as the error that commands tell in one sentence."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None


def _checked_color(value: Sequence[float]) -> tuple[float, float, float]:
    try:
        color = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        color = np.empty(0)
    if color.shape != (3,):
        raise InputError(
            f"background is {value!r}; it must be three numbers: red, green and blue, "
            "black at 0 and white at 1"
        )
    red, green, blue = color.tolist()
    return red, green, blue


def _checked_number(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}; it must be a number") from None


def _checked_switch(name: str, value: bool) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {value!r}; it must be True or False")
    return bool(value)
