"""Build TensorRT engines from graphs, with TensorRT or TensorRT for RTX: they share their API."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import onnx

from geolrm.engine.backends.cuda.tensorrt_segment import collecting_logger
from geolrm.engine.bundle.manifest import EngineIdentity, Range
from geolrm.engine.bundle.plan import Tensor
from geolrm.engine.errors import GeoLRMError
from geolrm.export.backend_choice import Target
from geolrm.export.plain_attention import decompose_attention, has_attention

SECONDS_BETWEEN_LINES = 1.0
USER_ALLOCATION = "memory from outside"  # how TensorRT for RTX builds, for the identity
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """Ranges of the dynamic dimensions."""

    views: Range
    anchors: Range

    def shapes(self, tensor: Tensor) -> list[tuple[int, ...]]:
        """Return the smallest, preferred and largest shape of a tensor."""
        return [tensor.shape_at(self._dims(limit)) for limit in ("min", "opt", "max")]

    def _dims(self, limit: str) -> dict[str, int]:
        return {"views": getattr(self.views, limit), "anchors": getattr(self.anchors, limit)}


class EngineBuilder:
    """Builds TensorRT engines for one target.

    Args:
        tensorrt: The module ``tensorrt`` or ``tensorrt_rtx``.
        package: Its name, ``tensorrt`` or ``tensorrt-rtx``.
        target: The GPU to build for.
        profile: Ranges of views and anchors.
        precision: Of the graphs, for the identity.
        kernels: Version of the plugins' kernels, for the identity.
        timing_cache: Of earlier builds on the same GPU; only TensorRT has one.
        progress: Called with a line for each of them, and while it is built.
    """

    def __init__(
        self,
        tensorrt: ModuleType,
        package: str,
        target: Target,
        profile: Profile,
        precision: str,
        *,
        kernels: str = "",
        timing_cache: bytes = b"",
        progress: Progress = lambda message: None,
    ):
        self.trt, self.package, self.target, self.profile = tensorrt, package, target, profile
        self.precision, self.kernels, self.progress = precision, kernels, progress
        self.logger = collecting_logger(tensorrt)
        self.timing_cache = timing_cache

    @property
    def is_rtx(self) -> bool:
        """Whether this is TensorRT for RTX, which builds without a GPU."""
        return self.package == "tensorrt-rtx"

    @property
    def version(self) -> str:
        """What builds, as an identity states it."""
        return f"{self.package} {self.trt.__version__}"

    def identity(self, model: bytes) -> EngineIdentity:
        """Return the identity of what these ONNX bytes, weights included, would become."""
        assert self.target.gpu is not None, "engines are built for a GPU"
        return EngineIdentity(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            builder=self.version,
            kernels=self.kernels,
            precision=self.precision,  # pyright: ignore[reportArgumentType]
            views=self.profile.views,
            anchors=self.profile.anchors,
            gpu=self.target.gpu,
        )

    def build(self, name: str, inputs: list[Tensor], model: bytes) -> bytes:
        """Build the TensorRT engine of one segment, and return it serialized.

        Where the builder refuses it with fused attention, which has no kernel for every width of a
        head on every GPU, it is built of plain nodes, and ``progress`` says so.

        Args:
            name: Of the segment, for messages.
            inputs: Of the segment, for the profile.
            model: ONNX bytes, weights included.

        Raises:
            GeoLRMError: The graph is refused or the build fails; with the builder's own reason.
        """
        try:
            return self._build(name, inputs, model)
        except GeoLRMError as error:
            graph = onnx.ModelProto.FromString(model)
            if not has_attention(graph):
                raise
            self.progress(
                f"{error}; building it once more with attention of matrix products and a softmax, "
                "which takes memory for every pair of tokens"
            )
            return self._build(name, inputs, serialized(decompose_attention(graph)))

    def _build(self, name: str, inputs: list[Tensor], model: bytes) -> bytes:
        title = f"building {name} for {self.target.name}"
        self.progress(title)
        trt = self.trt
        self.logger.lines.clear()
        builder = trt.Builder(self.logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self.logger)
        if not parser.parse(model):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            reasons = "; ".join(f"{e.node_operator()} {e.node_name()}: {e.desc()}" for e in errors)
            raise GeoLRMError(f"{self.version} cannot read {name}: {' '.join(reasons.split())}")
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # positions are computed in float32 proper
        self._add_profile(builder, config, inputs)
        cache = self._prepare(config)
        monitor = _monitor(trt, title, self.progress)
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if monitor.interrupted:
            raise KeyboardInterrupt
        if plan is None:
            reason = " ".join(self.logger.lines[-3:]) or "no reason was given"
            raise GeoLRMError(
                f"{self.version} cannot build {name} for {self.target.name}: {reason}"
            )
        if cache is not None:
            self.timing_cache = bytes(cache.serialize())
        return bytes(plan)

    def _add_profile(self, builder: Any, config: Any, inputs: list[Tensor]) -> None:
        dynamic = [each for each in inputs if any(isinstance(dim, str) for dim in each.shape)]
        if not dynamic:
            return
        profile = builder.create_optimization_profile()
        for tensor in dynamic:
            profile.set_shape(tensor.name, *self.profile.shapes(tensor))
        config.add_optimization_profile(profile)

    def _prepare(self, config: Any) -> Any:
        """Name the target of TensorRT for RTX; give TensorRT its timing cache, and return it."""
        if self.is_rtx:
            config.num_compute_capabilities = 1
            capability = getattr(
                self.trt.ComputeCapability, self.target.name.upper().replace("_", "")
            )
            config.set_compute_capability(capability, 0)
            # Memory that it took itself would be none that a CUDA graph may hold.
            config.set_flag(self.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
            return None
        cache = config.create_timing_cache(self.timing_cache)
        if not config.set_timing_cache(cache, False) and self.timing_cache:  # of another GPU
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache


def serialized(model: onnx.ModelProto) -> bytes:
    """Return the same bytes for the same graph, weights inside."""
    return model.SerializeToString(deterministic=True)


def load_tensorrt(package: str) -> ModuleType:
    """Import ``tensorrt`` or ``tensorrt-rtx``, which must be installed.

    Raises:
        GeoLRMError: It is installed and does not load.
    """
    import importlib

    try:
        return importlib.import_module(package.replace("-", "_"))
    except Exception as error:  # a missing library is an OSError, a missing symbol an ImportError
        reason = " ".join(str(error).split())
        raise GeoLRMError(f"{package} is installed but does not load: {reason}") from error


def _monitor(trt: ModuleType, title: str, progress: Progress) -> Any:
    """Report the outermost phase of a build, at most once a second; a Ctrl-C ends the build."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self.phases: dict[str, int] = {}
            self.last = time.monotonic()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self.phases[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                now = time.monotonic()
                total = self.phases.get(phase_name)
                if total and now - self.last >= SECONDS_BETWEEN_LINES:
                    self.last = now
                    progress(f"{title}: {100 * (step + 1) // total} %")
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

    return Monitor()
