"""A GPU as a backend: everything from the images to the Gaussians on one stream."""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.backends.base import PlanRunner
from geolrm.engine.backends.cuda import segment_loaders as loaders
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.encoding import BatchExecutor, view_batches
from geolrm.engine.backends.cuda.executor import Block, CudaExecutor
from geolrm.engine.backends.cuda.gaussians import DeviceGaussians
from geolrm.engine.backends.cuda.images import image_calls
from geolrm.engine.backends.cuda.memory_plan import MemoryPlan, plan_memory, shortage
from geolrm.engine.backends.cuda.operators import Context
from geolrm.engine.backends.cuda.padding import PaddedExecutor
from geolrm.engine.backends.cuda.rope import rope_calls
from geolrm.engine.backends.cuda.runtime_cache import runtime_cache_path
from geolrm.engine.backends.cuda.segments import Segment
from geolrm.engine.backends.executor import check_weights
from geolrm.engine.backends.selection import Selected, segment_files
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.manifest import Artifact
from geolrm.engine.bundle.plan import ANCHOR_COUNT, SegmentStep
from geolrm.engine.cuda import device as devices
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.features import PlacedViews
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.voxel_grid import voxel_axis
from geolrm.engine.options import RunSettings
from geolrm.engine.scene import Scene
from geolrm.engine.system import extras
from geolrm.engine.system.output import Output
from geolrm.engine.system.present_gpu import driver_cuda_version
from geolrm.engine.views.preprocessing import Views

ARENA = "bytes of ONNX Runtime's arena"  # of what is attached to a device


class CudaBackend:
    """See :class:`geolrm.engine.backends.base.Backend`.

    The host waits for the device twice in a run: for the number of anchors, and for the results.
    """

    def __init__(self, bundle: Bundle, selected: Selected, threads: int, index: int):
        artifact = bundle.manifest.artifact(selected.name)
        target, gpu = selected.target, selected.gpu
        assert artifact is not None, "selected from the bundle's artifacts"
        assert target is not None and gpu is not None
        self._manifest, self._artifact = bundle.manifest, artifact
        self.threads = threads
        self.description = f"{selected.name} {artifact.precision} on {gpu.name}"
        self.device = devices.open_device(index)
        self.lock = self.device.lock
        with self.lock:  # another engine may run on this GPU, or capture what it does
            self._load(bundle, artifact, selected)

    def _load(self, bundle: Bundle, artifact: Artifact, selected: Selected) -> None:
        """Upload weights and load all stages."""
        target = selected.target
        assert target is not None
        self.device.engage()
        weakref.finalize(self, self.device.retire).atexit = False
        self._arena, self._scratch = Block(self.device), Block(self.device)
        self._axis = self.put(voxel_axis(self._manifest.rope.grid_size))
        stored = bundle.weights(artifact.weights) if artifact.weights else {}
        for stage in artifact.stages.values():
            check_weights(stage, stored)
        weights = {name: self.put(array.astype(np.float32)) for name, array in stored.items()}
        shapes = self.put(np.array(self._manifest.level_shapes, np.int64))
        loader = loaders.loader(selected.name, _runtime_cache(artifact, selected))

        def load(step: SegmentStep) -> Segment:
            return loader.load(bundle.segment(step.files[target]), self.device)

        stages: dict[str, PlanRunner] = {}
        slots: dict[str, Block] = {}
        for name, stage in artifact.stages.items():
            tensors = {tensor.name: tensor for tensor in stage.tensors}
            context = Context(tensors, self.device, load, weights, shapes, self._scratch.take)
            executor = CudaExecutor(stage, context, self._arena)
            if stage.role == "encoder":
                stages[name] = BatchExecutor(executor, self.device, slots)
            elif stage.reads(ANCHOR_COUNT):
                most = self._manifest.anchors.max
                stages[name] = PaddedExecutor(executor, self.device, most)
            else:
                stages[name] = executor
        loader.keep()
        self.stages: Mapping[str, PlanRunner] = stages
        self._checked: set[tuple[int, int]] = set()

    def place(self, views: Views | PlacedViews) -> PlacedViews:
        """Upload the arrays of views once, each when a stage first reads it."""
        return views if isinstance(views, PlacedViews) else PlacedViews(views, self._place)

    def _place(self, views: Views, name: str) -> DeviceArray:
        """Upload an array of views; images as bytes where they are such."""
        if name != "images" or views.pixels is None:
            return self.put(getattr(views, name))
        pixels = self.device.upload(views.pixels)
        images = self.device.empty(pixels.shape, "float32")
        self.device.launch(image_calls(pixels, images, values=pixels.nbytes))
        return images

    def put(self, array: NDArray | DeviceArray) -> DeviceArray:
        """Upload an array of the host."""
        return array if isinstance(array, DeviceArray) else self.device.upload(array)

    def view_batches(self, views: int) -> list[slice]:
        """Encode several views at a time."""
        return view_batches(views)

    def empty_features(self, stage: str, views: int) -> DeviceArray:
        """Allocate uninitialised [V, L, C], in the precision that the stage writes."""
        (features,) = self._artifact.stages[stage].outputs
        return self.device.empty(features.shape_at({"views": views}), features.dtype)

    def concatenate(self, parts: Sequence[DeviceArray]) -> DeviceArray:
        """Join arrays along the first axis, on the device."""
        if len(parts) == 1:
            return parts[0]
        rows = sum(len(part) for part in parts)
        joined = self.device.empty((rows, *parts[0].shape[1:]), parts[0].dtype)
        start = 0
        for part in parts:
            self.device.copy(part, joined[start : start + len(part)])
            start += len(part)
        return joined

    def choose_anchors(self, logits: DeviceArray, settings: RunSettings) -> tuple[DeviceArray, int]:
        """Choose the same voxels as the CPU, in the same order; only their number is fetched."""
        kernel = SelectAnchors(logits.shape[0], settings.selection)
        limit = min(settings.limit, kernel.side**3)
        state = self.device.empty((kernel.state_bytes // 4,), "int32")
        counts = self.device.empty((kernel.counts_bytes,), "uint8")
        voxels = self.device.empty((limit,), "int32")
        positions = self.device.empty((settings.limit, 3), "float32")
        self.device.clear(state)
        self.device.clear(positions)
        arrays = (logits, self._axis, state, counts, voxels, positions)
        addresses = (array.address for array in arrays)
        self.device.launch(kernel.calls(*addresses, limit=limit, seed=settings.seed))
        kept, occupied = (int(number) for number in state[:2].numpy())
        # The released head variant was trained with zero anchors up to a fixed number.
        if self._manifest.padded_anchors and occupied:
            kept = settings.limit
        return positions[:kept], occupied

    def rope_indices(self, anchors: DeviceArray) -> DeviceArray:
        """Compute int64 [N, 3] on the device."""
        indices = self.device.empty(anchors.shape, "int64")
        rope = self._manifest.rope
        self.device.launch(
            rope_calls(
                anchors.address,
                indices.address,
                tokens=len(anchors),
                grid_size=rope.grid_size,
                xyz_scale=rope.xyz_scale,
            )
        )
        return indices

    def gaussians(self, arrays: Mapping[str, DeviceArray]) -> Gaussians:
        """Leave the arrays on the device."""
        return cast(Gaussians, DeviceGaussians(**arrays))

    def deliver(self, scene: Scene, output: Output) -> Scene:
        """Fetch all of a scene with one wait, or upload what the host has made of it."""
        gaussians = scene.gaussians
        if output == "device":
            if not isinstance(gaussians, DeviceGaussians):
                gaussians = cast(Gaussians, DeviceGaussians.upload(gaussians, self.device))
            return replace(scene, gaussians=gaussians, anchors=self.put(scene.anchors))
        arrays = {field.name: getattr(gaussians, field.name) for field in fields(gaussians)}
        arrays |= {"anchors": scene.anchors, "logits": scene.logits}
        fetched = self._fetch({name: array for name, array in arrays.items() if array is not None})
        anchors, logits = fetched.pop("anchors"), fetched.pop("logits", None)
        return replace(scene, gaussians=Gaussians(**fetched), anchors=anchors, logits=logits)

    def _fetch(self, arrays: Mapping[str, DeviceArray | NDArray]) -> dict[str, NDArray]:
        """Copy to the host what is not there, all at once: one wait."""
        fetched = {
            name: array for name, array in arrays.items() if not isinstance(array, DeviceArray)
        }
        waiting = False
        for name, array in arrays.items():
            if isinstance(array, DeviceArray):
                fetched[name] = self.device.empty_on_host(array.shape, array.dtype)
                self.device.download(array, fetched[name])
                waiting = True
        if waiting:
            self.device.synchronize()
        return fetched

    def plan_memory(self, views: int, anchors: int) -> MemoryPlan:
        """Plan the memory of a run, from the manifest alone."""
        return plan_memory(self._manifest, self._artifact, views, anchors)

    def check_memory(self, views: int, anchors: int) -> None:
        """Refuse a setting that needs more than is free; one that has run is not asked again.

        Raises:
            GeoLRMError: Naming the largest setting that fits.
        """
        if (views, anchors) in self._checked:
            return
        plan = plan_memory(self._manifest, self._artifact, views, anchors)
        held = self._arena.nbytes + self._scratch.nbytes
        if self._artifact.backend == "cuda":  # ONNX Runtime's arena, of all engines on this GPU
            grown = self.device.attached.get(ARENA, 0)
            held += min(grown, plan.scratch)
            held += plan.libraries if self._checked else 0  # since the first run
        available = self.device.free_bytes() + held
        short = shortage(self._manifest, self._artifact, views, anchors, available)
        if short is not None:
            raise GeoLRMError(short)
        self._checked.add((views, anchors))
        if self._artifact.backend == "cuda":
            self.device.attached[ARENA] = max(grown, plan.scratch)
        self._arena.take(plan.activations)  # at once: graphs hold its address


def _runtime_cache(artifact: Artifact, selected: Selected) -> Path | None:
    if selected.name != "tensorrt-rtx":
        return None
    assert selected.target is not None and selected.gpu is not None
    files = segment_files(artifact, selected.target)
    version = extras.installed_version(selected.name) or ""
    return runtime_cache_path(artifact, files, selected.gpu, version, driver_cuda_version())
