"""The CPU as a backend: NumPy arrays, ONNX Runtime and the native kernels."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.anchors import pad_anchors, select_anchors
from geolrm.engine.backends.base import PlanRunner
from geolrm.engine.backends.cpu.executor import Block, CpuExecutor
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.features import PlacedViews
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.voxel_grid import rope_indices
from geolrm.engine.options import RunSettings
from geolrm.engine.scene import Scene
from geolrm.engine.system.output import Output
from geolrm.engine.views.preprocessing import Views


class CpuBackend:
    """See :class:`geolrm.engine.backends.base.Backend`."""

    def __init__(self, bundle: Bundle, threads: int):
        self._manifest = bundle.manifest
        self.threads = threads
        self.lock = threading.RLock()
        self.description = f"onnxruntime {self._manifest.precision}, {threads} threads"
        artifact = self._manifest.artifact("onnxruntime")
        assert artifact is not None, "selected from the bundle's artifacts"
        arena = Block()
        self.stages: Mapping[str, PlanRunner] = {
            name: CpuExecutor(stage, bundle, arena, threads)
            for name, stage in artifact.stages.items()
        }

    @property
    def device(self) -> None:
        """Return None: there is no GPU."""
        return None

    def check_memory(self, views: int, anchors: int) -> None:
        """Do nothing: the system lends what is needed."""

    def plan_memory(self, views: int, anchors: int) -> None:
        """Plan nothing: no GPU memory is used."""

    def place(self, views: Views | PlacedViews) -> PlacedViews:
        """Leave the arrays where they are."""
        return views if isinstance(views, PlacedViews) else PlacedViews(views, getattr)

    def put(self, array: NDArray) -> NDArray:
        """Return the array itself."""
        return array

    def view_batches(self, views: int) -> list[slice]:
        """Encode view by view, so that a view's features never depend on the others."""
        return [slice(view, view + 1) for view in range(views)]

    def empty_features(self, stage: str, views: int) -> NDArray[np.float32]:
        """Allocate uninitialised float32 [V, L, C]."""
        pixels = sum(height * width for height, width in self._manifest.level_shapes)
        return np.empty((views, pixels, self._manifest.feature_dim), np.float32)

    def concatenate(self, parts: Sequence[NDArray]) -> NDArray:
        """Join arrays along the first axis."""
        return np.concatenate(parts)

    def choose_anchors(
        self, logits: NDArray[np.float32], settings: RunSettings
    ) -> tuple[NDArray[np.float32], int]:
        """Choose occupied voxels by :func:`geolrm.engine.anchors.select_anchors`."""
        limit = settings.limit
        chosen = select_anchors(logits, limit, seed=settings.seed, selection=settings.selection)
        # The released head variant was trained with zero anchors up to a fixed number.
        padded = limit if self._manifest.padded_anchors and chosen.num_occupied else None
        return pad_anchors(chosen.positions, padded), chosen.num_occupied

    def rope_indices(self, anchors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Tabulate int64 [N, 3]."""
        rope = self._manifest.rope
        return rope_indices(anchors, rope.grid_size, rope.xyz_scale)

    def gaussians(self, arrays: Mapping[str, NDArray]) -> Gaussians:
        """Check and name the arrays."""
        return Gaussians(**arrays)

    def deliver(self, scene: Scene, output: Output) -> Scene:
        """Return the scene itself: NumPy's arrays are the CPU's own."""
        return scene
