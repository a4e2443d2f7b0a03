"""The photographs of a run, kept as they were given for what looks closer than the model does."""

from __future__ import annotations

import numpy as np

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.preprocessing import Images, Valid, Views, prepare_views


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
        for image in self._images:
            height, width = image.shape[:2] if image.shape[-1] in (3, 4) else image.shape[1:]
            sides.append(max(height, width))
        return int(np.median(sides))

    def at(self, size: int) -> Views:
        """Make views whose reference has ``size`` px; the latest are kept."""
        latest = self._latest
        if latest is None or latest.reference.shape[-1] != size:
            latest = self._latest = prepare_views(
                self._images, self._cameras, self._model_size, size, self._valid
            )
        return latest
