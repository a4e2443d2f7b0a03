"""An engine of TensorRT, or of TensorRT for RTX: they share their API."""

import contextlib
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from geolrm.engine.backends.cuda.runtime_cache import RuntimeCache
from geolrm.engine.backends.cuda.segments import Arrays, Binding, Scratch
from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.cuda.device import Device
from geolrm.engine.errors import GeoLRMError

_eager: ContextVar[bool] = ContextVar("eager", default=False)


@contextlib.contextmanager
def eager_specialization() -> Iterator[None]:
    """Let engines of TensorRT for RTX that are loaded meanwhile compile for shapes at once.

    Otherwise they run general kernels while those of the shapes are compiled beside them: a first
    run waits less, and nothing that is timed soon is what later runs take.
    """
    token = _eager.set(True)
    try:
        yield
    finally:
        _eager.reset(token)


def load_module(package: str) -> ModuleType:
    """Import ``tensorrt`` or ``tensorrt-rtx``, which must be installed.

    Raises:
        GeoLRMError: It is installed and does not load.
    """
    try:
        return importlib.import_module(package.replace("-", "_"))
    except Exception as error:  # a missing library is an OSError, a missing symbol an ImportError
        reason = " ".join(str(error).split())
        raise GeoLRMError(f"{package} is installed but does not load: {reason}") from error


class Runtime:
    """Loads engines, all with one runtime and one logger, which outlive them.

    Args:
        package: ``tensorrt`` or ``tensorrt-rtx``.
        cache: The file for kernels that the latter compiles; None keeps none.
    """

    def __init__(self, package: str, cache: Path | None = None):
        self.trt = load_module(package)
        self.package = package
        self.logger = collecting_logger(self.trt)
        self.runtime = self.trt.Runtime(self.logger)
        self.eager = _eager.get()
        self.cache: RuntimeCache | None = None
        if cache is not None and hasattr(self.trt, "IRuntimeCache"):
            self.cache = RuntimeCache(cache)

    def keep(self) -> None:
        """Write the kernels that were compiled so far."""
        if self.cache is not None:
            self.cache.save()

    def load(self, stored: StoredSegment, device: Device) -> "TensorRtSegment":
        """Read a TensorRT engine whose identity and checksum were checked before.

        Raises:
            GeoLRMError: TensorRT refuses it; with its own reason.
        """
        self.logger.lines.clear()
        name = stored.path.name
        engine = self.runtime.deserialize_cuda_engine(stored.content)
        if engine is None:
            reason = " ".join(self.logger.lines[-3:]) or "no reason was given"
            raise GeoLRMError(f"{self.package} {self.trt.__version__} cannot load {name}: {reason}")
        return TensorRtSegment(self, engine, name, device)


class TensorRtSegment:
    """See :class:`geolrm.engine.backends.cuda.segments.Segment`."""

    capturable = True

    def __init__(self, runtime: Runtime, engine: Any, name: str, device: Device):
        self._runtime, self._engine, self._name, self._device = runtime, engine, name, device
        # At once: TensorRT for RTX compiles general kernels now, which load's caller saves.
        self._context = self._new_context()

    def bind(
        self, inputs: Arrays, outputs: Arrays, scratch: Scratch, *, lasting: bool = False
    ) -> Binding:
        """Fix the tensors; a lasting binding has a context that no other changes."""
        context = self._new_context() if lasting else self._context
        for name, array in inputs.items():
            if not context.set_input_shape(name, array.shape):
                raise self._error(f"take {name} with shape {list(array.shape)} in")
        size = int(context.update_device_memory_size_for_shapes())
        block = scratch(size) if size else None
        if block is not None:
            context.set_device_memory(block.address, block.nbytes)
        for name, array in {**inputs, **outputs}.items():
            if not context.set_tensor_address(name, array.address):
                raise self._error(f"bind {name} in")

        def enqueue() -> None:
            assert block is None or block.nbytes >= size  # and it lives as long as the binding
            if not context.execute_async_v3(self._device.stream):
                raise self._error("run")

        def can_capture() -> bool:
            # TensorRT for RTX first runs general kernels while it compiles those of the shapes.
            ask = getattr(context, "is_stream_capturable", None)
            return ask is None or bool(ask(self._device.stream))

        return Binding(enqueue, can_capture)

    def _new_context(self) -> Any:
        strategy = self._runtime.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._runtime.cache is None:
            context = self._engine.create_execution_context(strategy)
        else:
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            self._runtime.cache.attach(config)
            if self._runtime.eager:
                strategies = self._runtime.trt.DynamicShapesKernelSpecializationStrategy
                config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            context = self._engine.create_execution_context(config)
        if context is None:
            raise self._error("create a context for")
        return context

    def _error(self, action: str) -> GeoLRMError:
        reason = " ".join(self._runtime.logger.lines[-3:]) or "no reason was given"
        return GeoLRMError(f"{self._runtime.package} cannot {action} {self._name}: {reason}")


def collecting_logger(trt: ModuleType) -> Any:
    """Make a logger that keeps errors for the one sentence, and prints nothing."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(" ".join(message.split()))

    return Logger()
