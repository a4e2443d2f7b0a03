"""How results show themselves in notebooks: as the page of the viewer, over a picture."""

from __future__ import annotations

import importlib
from typing import Any


class ShownInNotebooks:
    """What notebooks ask an object for; the viewer answers (:mod:`geolrm.viewer.notebook`)."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _viewer().make_html(self)

    def _repr_png_(self) -> bytes:
        return _viewer().make_picture(self)


def _viewer() -> Any:
    """Load the viewer: it lies above the engine, and only a notebook that asks brings it in."""
    return importlib.import_module("geolrm.viewer.notebook")
