"""Live capture: views arrive one by one, each is encoded once."""

import threading
from collections.abc import Sequence
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.bundle.manifest import Manifest
from geolrm.engine.errors import InputError
from geolrm.engine.features import Features
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.options import ArgumentChecks, RunOptions, RunSettings
from geolrm.engine.scene import Scene
from geolrm.engine.system.stopwatch import Stopwatch
from geolrm.engine.views.preprocessing import Images, Valid, Views, join_views


class CapturingEngine(Protocol):
    """What a live capture asks of :class:`geolrm.Engine`, which says what each of these does."""

    manifest: Manifest
    checks: ArgumentChecks
    lock: threading.RLock

    def prepare(self, images: Images, cameras: Cameras, valid: Valid | None = None) -> Views: ...
    def encode(self, views: Views) -> Features: ...
    def join_features(self, parts: Sequence[Features]) -> Features: ...
    def run_views(
        self, views: Views, settings: RunSettings, clock: Stopwatch, features: Features
    ) -> Scene: ...


class LiveCapture:
    """A growing capture of one object; made by :meth:`Engine.live`."""

    def __init__(self, engine: CapturingEngine):
        self._engine = engine
        self._views: list[Views] = []
        self._features: list[Features] = []

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return f"LiveCapture({len(self)} views)"

    def add(
        self,
        image: NDArray,
        pose: ArrayLike | Cameras,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Encode one more view.

        Args:
            image: [H, W, 3|4] uint8 or [3|4, H, W] float in [0, 1].
            pose: [4, 4] OpenGL camera-to-world, or one camera.
            intrinsics: [3, 3], divided by the image size.
            fov: Or the field of view in degrees.
            valid: [H, W], False where nothing is known of the image; None: it is known whole.
        """
        engine, limit = self._engine, self._engine.manifest.views.max
        if len(self) >= limit:
            raise InputError(
                f"this capture has {len(self)} views, the most this bundle takes; start a new one "
                f"or export the bundle again with --views 1:{limit}:{2 * limit}"
            )
        cameras = engine.checks.cameras(pose, intrinsics, fov)
        views = engine.prepare([np.asarray(image)], cameras, None if valid is None else [valid])
        with engine.lock:
            self._features.append(engine.encode(views))
            self._views.append(views)

    def run(self, **options: Unpack[RunOptions]) -> Scene:
        """Reconstruct from all views so far, as :meth:`Engine.run` does from them.

        The scenes are bit-identical on the CPU, but where colours depend on the direction: the
        photographs are not kept for the finer images that ``run`` compares. On a GPU, where
        ``run`` encodes views together, they agree up to the rounding of the encoder's precision.

        Args:
            **options: As those of :meth:`Engine.run`.
        """
        engine = self._engine
        if not self._views:
            raise InputError("no images were given; add at least 1 view before run")
        engine.checks.view_count(len(self))
        settings = engine.checks.settings(**options)
        clock = Stopwatch()
        with engine.lock:
            features = engine.join_features(self._features)
            return engine.run_views(join_views(self._views), settings, clock, features)
