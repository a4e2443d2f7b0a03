"""The photographs of a run, kept as they were given for what looks closer than the model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.preprocessing import Images, Valid, Views, join_views, prepare_views


class CloserLook(Protocol):
    """What a refinement looks closer with."""

    @property
    def size(self) -> int:
        """Side in px of the finest reference that shows more than a coarser one."""
        ...

    def at(self, size: int) -> Views:
        """Make views whose reference has ``size`` px, at most those."""
        ...


class KeptReferences:
    """References that were made when each view arrived; there are no others.

    Args:
        views: Groups of views with references of one size.
    """

    def __init__(self, views: Sequence[Views]):
        self._views = views

    @property
    def size(self) -> int:
        """Side in px."""
        return self._views[0].reference.shape[-1]

    def at(self, size: int) -> Views:
        """Join them; another size than theirs is not asked for."""
        assert size == self.size, "a refinement asks for the usual size, or for all there is"
        return join_views(self._views)


class Photographs:
    """V photographs and their cameras, from which references of any size are made.

    Args:
        images: As :func:`geolrm.engine.views.preprocessing.prepare_views`.
        cameras: V cameras.
        valid: As there.
        model_size: Side of the model's input.
    """

    def __init__(self, images: Images, cameras: Cameras, valid: Valid | None, model_size: int):
        self._images, self._cameras, self._valid = images, cameras, valid
        self._model_size = model_size
        self._latest: Views | None = None

    @property
    def size(self) -> int:
        """Side in px of the square that loses none of the median photograph's detail."""
        sides = []
        for image in map(np.asarray, self._images):
            sides.append(max(image.shape[:2] if image.dtype == np.uint8 else image.shape[1:]))
        return int(np.median(sides))

    def at(self, size: int) -> Views:
        """Make views whose reference has ``size`` px; the latest are kept."""
        latest = self._latest
        if latest is None or latest.reference.shape[-1] != size:
            latest = self._latest = prepare_views(
                self._images, self._cameras, self._model_size, size, self._valid
            )
        return latest
