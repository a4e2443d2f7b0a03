"""Warnings: raised at the line of the caller's own code, shown as plain lines by commands."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from types import FrameType

from geolrm.engine.system.shown_text import shown

PACKAGE = __name__.split(".", maxsplit=1)[0]


def warn(message: str) -> None:
    """Issue a ``UserWarning`` that names the first line outside geolrm, however deep the call."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and _is_own(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def _is_own(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").split(".", maxsplit=1)[0] == PACKAGE


@contextlib.contextmanager
def show_warnings() -> Iterator[None]:
    """Show warnings as plain lines on standard error while the block runs."""

    def plainly(message: Warning | str, *_: object, **__: object) -> None:
        print(f"warning: {shown(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = plainly
        yield
