"""Live capture: views arrive one by one, each is encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.anchors import Selection
from geolrm.engine.errors import InputError
from geolrm.engine.features import Features
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.system.output import Output, check_output
from geolrm.engine.system.stopwatch import Stopwatch
from geolrm.engine.views.preprocessing import Views, join_views

if TYPE_CHECKING:
    from geolrm.engine.engine import Engine
    from geolrm.engine.scene import Scene


class LiveCapture:
    """A growing capture of one object; made by :meth:`Engine.live`."""

    def __init__(self, engine: Engine):
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
    ) -> None:
        """Encode one more view.

        Args:
            image: [H, W, 3|4] uint8 or [3|4, H, W] float in [0, 1].
            pose: [4, 4] OpenGL camera-to-world, or one camera.
            intrinsics: [3, 3], divided by the image size.
            fov: Or the field of view in degrees.
        """
        limit = self._engine.manifest.views.max
        if len(self) >= limit:
            raise InputError(
                f"this capture has {len(self)} views, the most this bundle takes; start a new one "
                f"or export the bundle again with --views 1:{limit}:{2 * limit}"
            )
        cameras = self._engine.arguments.cameras(pose, intrinsics, fov)
        views = self._engine.prepare([np.asarray(image)], cameras)
        with self._engine.lock:
            self._features.append(self._engine.encode(views))
            self._views.append(views)

    def run(
        self,
        *,
        seed: int = 0,
        max_tokens: int | None = None,
        selection: Selection = "random",
        anchors: ArrayLike | None = None,
        refine_steps: int | None = None,
        output: Output = "numpy",
    ) -> Scene:
        """Reconstruct from all views so far, as :meth:`Engine.run` does from them.

        The scenes are bit-identical on the CPU. On a GPU, where ``run`` encodes views together,
        they agree up to the rounding of the encoder's precision.
        """
        if not self._views:
            raise InputError("no images were given; add at least 1 view before run")
        check_output(output)
        self._engine.arguments.check_view_count(len(self))
        choice = self._engine.arguments.choose(seed, max_tokens, selection, anchors, refine_steps)
        with self._engine.lock:
            self._engine._backend.check_memory(len(self), choice.num_tokens)
            views = join_views(self._views)
            features = Features.join(self._features, self._engine._backend.concatenate)
            return self._engine.finish(views, features, choice, Stopwatch(), output)
