"""Modules in place of ``tensorrt`` and ``tensorrt_rtx``: engines are ONNX graphs."""

import types

from doubles.device import STREAM, HostSession
from geolrm.engine.cuda.array import DeviceArray

KINDS = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}


class Context:
    """Runs its graph on the host, by what was bound; deferred as on a device double."""

    def __init__(self, engine):
        self.engine, self.shapes, self.addresses = engine, {}, {}
        self.memory, self.runs, self.log = None, 0, []

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)
        return name not in self.engine.module.refuse

    def update_device_memory_size_for_shapes(self):
        assert set(self.shapes) == self.engine.session.inputs, "all shapes must be given before"
        return 4096

    def set_device_memory(self, memory, size):
        assert memory % 256 == 0 and size >= 4096
        self.memory = (memory, size)

    def set_tensor_address(self, name, address):
        assert address % 2 == 0
        self.addresses[name] = address
        return True

    def is_stream_capturable(self, stream):
        return self.runs >= self.engine.module.runs_before_capture

    def execute_async_v3(self, stream):
        assert stream == STREAM and self.memory is not None
        self.runs += 1
        device, session = self.engine.module.device(), self.engine.session
        specs = {v.name: v for v in [*session.session.get_inputs(), *session.session.get_outputs()]}
        assert set(specs) <= set(self.addresses)
        dims, bound = {}, dict(self.addresses)
        for name, shape in self.shapes.items():
            for symbol, size in zip(specs[name].shape, shape, strict=True):
                if isinstance(symbol, str):
                    dims[symbol] = size
        arrays = {}
        for name, spec in specs.items():
            shape = self.shapes.get(name) or tuple(evaluate(d, dims) for d in spec.shape)
            kind = KINDS.get(spec.type, "float16")
            arrays[name] = DeviceArray(bound[name], shape, kind, device)
        inputs = {name: arrays[name] for name in self.shapes}
        outputs = {name: arrays[name] for name in arrays if name not in inputs}
        device.do(("engine", self.engine.number), lambda: session.run(inputs, outputs))
        return True


def evaluate(dim, dims):
    if isinstance(dim, int):
        return dim
    *factors, symbol = dim.split("*") if dim not in dims else [dim]
    size = dims[symbol.strip()]
    for factor in factors:
        size *= int(factor)
    return size


class Engine:
    def __init__(self, module, plan):
        self.module, self.number = module, len(module.engines)
        self.session, self.contexts = HostSession(plan, module.folder), []
        module.engines.append(self)

    def create_execution_context(self, how):
        if isinstance(how, Config):
            assert how.cache is not None
            self.module.specialization.append(how.dynamic_shapes_kernel_specialization_strategy)
            how, kernels = how.strategy, how.cache.kernels
            if self.number not in kernels:  # by the engine's place in the bundle
                self.module.compiled.append(self.number)
                kernels.append(self.number)
        assert how == "user managed"
        self.contexts.append(Context(self))
        return self.contexts[-1]

    def create_runtime_config(self):
        return Config(self.module)


class Config:
    """What a context is created with."""

    def __init__(self, module):
        self.module, self.strategy, self.cache = module, None, None
        self.dynamic_shapes_kernel_specialization_strategy = "lazy"

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return Cache(self.module)

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class Cache:
    """Names of compiled kernels, under the version that compiled them."""

    def __init__(self, module):
        self.module, self.kernels = module, []

    def deserialize(self, blob):
        version, _, kernels = bytes(blob).decode().partition("|")
        if version != self.module.__version__:
            return False
        self.kernels = [int(kernel) for kernel in kernels.split(",") if kernel]
        return True

    def serialize(self):
        return f"{self.module.__version__}|{','.join(map(str, self.kernels))}".encode()


def make_module(folder, device, *, refuse=(), runs_before_capture=1):
    """A module whose engines are the bytes of ONNX graphs with weights in ``folder``."""
    module = types.ModuleType("tensorrt_rtx")

    class ILogger:
        Severity = types.SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, plan):
            if plan == b"damaged":
                self.logger.log(1, "the plan\n is damaged")
                return None
            return Engine(module, plan)

    module.ILogger, module.Runtime, module.__version__ = ILogger, Runtime, "1.7.1"
    module.ExecutionContextAllocationStrategy = types.SimpleNamespace(USER_MANAGED="user managed")
    module.folder, module.device, module.engines, module.compiled = folder, device, [], []
    module.DynamicShapesKernelSpecializationStrategy = types.SimpleNamespace(EAGER="eager")
    module.specialization = []  # of each context
    module.IRuntimeCache = Cache
    module.refuse, module.runs_before_capture = refuse, runs_before_capture
    return module
