"""The CPU as a backend: NumPy arrays, ONNX Runtime and the native kernels."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.anchors import AnchorChoice, pad_anchors, select_anchors
from geolrm.engine.backends.base import PlanRunner
from geolrm.engine.backends.cpu.executor import Block, CpuExecutor
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.voxel_grid import rope_indices


class HostBackend:
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
        """None."""
        return None

    def put(self, array: NDArray) -> NDArray:
        """The array itself."""
        return array

    def put_gaussians(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians themselves."""
        return gaussians

    def view_batches(self, views: int) -> list[slice]:
        """View by view, so that a view's features never depend on the others."""
        return [slice(view, view + 1) for view in range(views)]

    def empty_features(self, stage: str, views: int) -> NDArray[np.float32]:
        """Uninitialised float32 [V, L, C]."""
        pixels = sum(height * width for height, width in self._manifest.level_shapes)
        return np.empty((views, pixels, self._manifest.feature_dim), np.float32)

    def concatenate(self, parts: Sequence[NDArray]) -> NDArray:
        """Along the first axis."""
        return np.concatenate(parts)

    def select(
        self, logits: NDArray[np.float32], choice: AnchorChoice
    ) -> tuple[NDArray[np.float32], int]:
        """Occupied voxels, at most the limit."""
        chosen = select_anchors(logits, choice.limit, seed=choice.seed, selection=choice.selection)
        # The released head variant was trained with zero anchors up to a fixed number.
        padded = choice.limit if self._manifest.padded_anchors and chosen.num_occupied else None
        return pad_anchors(chosen.positions, padded), chosen.num_occupied

    def rope_indices(self, anchors: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64 [M, 3]."""
        rope = self._manifest.rope
        return rope_indices(anchors, rope.grid_size, rope.xyz_scale)

    def fetch(self, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The arrays themselves."""
        return dict(arrays)

    def check_memory(self, views: int, tokens: int) -> None:
        """The system lends what is needed."""
