"""The module ``tensorrt`` as a build sees it: it builds nothing and keeps what it was asked for."""

import importlib.machinery
import types
from enum import IntEnum
from typing import Any

import onnx


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1


class NetworkFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class Profile:
    def __init__(self):
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, name, low, preferred, high):
        self.shapes[name] = [low, preferred, high]


class Cache:
    def __init__(self, content: bytes):
        self.content = content

    def serialize(self):
        return self.content


class Config:
    def __init__(self, builder):
        self.builder = builder
        self.profiles: list[Profile] = []
        self.cleared: list[str] = []
        self.set: list[str] = []
        self.progress_monitor: Any = None
        self.cache: Cache | None = None
        self.num_compute_capabilities = 0
        self.capabilities: dict[int, str] = {}

    def clear_flag(self, flag):
        self.cleared.append(flag)

    def set_flag(self, flag):
        self.set.append(flag)

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)

    def create_timing_cache(self, content):
        self.builder.caches_given.append(content)
        return Cache(content)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch  # timings of another GPU would mislead
        if cache.content in self.builder.foreign_caches:
            return False
        self.cache = cache
        return True

    def set_compute_capability(self, capability, index):
        self.capabilities[index] = capability


class Parser:
    def __init__(self, network, logger):
        self.network, self.builder = network, network.builder

    def parse(self, content: bytes) -> bool:
        self.network.model = content
        return self.builder.parse_error is None

    @property
    def num_errors(self):
        return 1

    def get_error(self, index):
        node, name, text = self.builder.parse_error
        return types.SimpleNamespace(
            node_operator=lambda: node, node_name=lambda: name, desc=lambda: text
        )


class BuilderDouble:
    """The module; ``builds`` holds every build in order."""

    __version__ = "11.4.0.106"
    __spec__ = importlib.machinery.ModuleSpec("tensorrt", None)

    class ILogger:
        Severity = Severity

    class IProgressMonitor:
        pass

    NetworkDefinitionCreationFlag = NetworkFlag
    BuilderFlag = types.SimpleNamespace(
        TF32="TF32", REQUIRE_USER_ALLOCATION="REQUIRE_USER_ALLOCATION"
    )
    ComputeCapability = types.SimpleNamespace(SM86="8.6", SM89="8.9", SM120="12.0")

    def __init__(self):
        self.builds: list[types.SimpleNamespace] = []
        self.caches_given: list[bytes] = []
        self.foreign_caches: set[bytes] = set()
        self.parse_error: tuple[str, str, str] | None = None
        self.build_error: str | None = None
        self.refused_node: str | None = None  # a graph with one of this type is not built
        self.during_build = lambda: None
        self.plugin = PluginModule()

    OnnxParser = Parser

    def Builder(self, logger):
        return Builder(self, logger)

    def models(self) -> list[onnx.ModelProto]:
        """What was parsed, in order."""
        return [onnx.ModelProto.FromString(build.model) for build in self.builds]


class Builder:
    def __init__(self, builder, logger):
        self.builder, self.logger = builder, logger

    def create_network(self, flags):
        return types.SimpleNamespace(builder=self.builder, flags=flags, model=b"")

    def create_builder_config(self):
        return Config(self.builder)

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        self.builder.builds.append(
            types.SimpleNamespace(flags=network.flags, model=network.model, config=config)
        )
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 4)
        monitor.phase_start("Timing", "Building", 9)
        for step in range(4):
            monitor.step_complete("Timing", step)
            if not monitor.step_complete("Building", step):
                return None
            self.builder.during_build()
        monitor.phase_finish("Timing")
        monitor.phase_finish("Building")
        if f'op_type: "{self.builder.refused_node}"' in str(
            onnx.ModelProto.FromString(network.model).graph.node
        ):
            self.logger.log(Severity.ERROR, f"no kernel for {self.builder.refused_node}")
            return None
        if self.builder.build_error:
            self.logger.log(Severity.ERROR, self.builder.build_error)
            return None
        if config.cache is not None:
            config.cache.content += b"timed;"
        return b"engine of " + network.model[-64:]


class PluginModule:
    """``tensorrt.plugin``: the decorators, and what went through them."""

    TensorDesc = KernelLaunchParams = SymIntExprs = object

    def __init__(self):
        self.op = types.SimpleNamespace()
        self.registered: dict[str, bool] = {}
        self.kernels: list[str] = []

    def register(self, plugin_id, lazy_register=False):
        def define(function):
            namespace, name = plugin_id.split("::")
            if not hasattr(self.op, namespace):
                setattr(self.op, namespace, types.SimpleNamespace())
            assert not hasattr(getattr(self.op, namespace), name), "registered twice"
            setattr(getattr(self.op, namespace), name, function)
            self.registered[plugin_id] = lazy_register
            return function

        return define

    def aot_impl(self, plugin_id):
        def define(function):
            self.kernels.append(plugin_id)
            return function

        return define
