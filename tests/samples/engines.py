"""The same bundles opened on every backend: the CPU, doubles of a GPU, and a real one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from doubles.device import use_gpu_double
from doubles.tensorrt_runtime import make_module

from geolrm import Engine
from geolrm.engine.backends.cuda import tensorrt_segment
from geolrm.engine.backends.selection import PACKAGES
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import KERNEL_PACKAGES, installed_version
from geolrm.engine.system.present_gpu import present_gpu
from geolrm.export import backend_choice
from samples.gpu_bundles import as_engines, write_gpu_bundle
from samples.tiny_models import tiny_config, tiny_model

Bundles = Callable[[str, str], Path]  # of a variant and a precision


@dataclass(frozen=True)
class OpenedOn:
    """One backend, and how far what it computes may be from the CPU's float32 or half bundle."""

    backend: str  # as Engine.backend says it
    bundles: Bundles
    tolerances: dict[str, float]  # by the precisions that it has, the most exact first
    said: str  # in the engine's repr, with that precision
    repeats: bool = True  # the same call gives the same bits again

    def engine(self, variant: str = "token", precision: str = "fp32") -> Engine:
        return Engine(self.bundles(variant, precision), backend=self.backend, threads=2)

    def on_the_cpu(self, variant: str = "token", precision: str = "fp32") -> Engine:
        return Engine(self.bundles(variant, precision), backend="onnxruntime", threads=2)


def on_the_cpu(patch, bundles: Bundles, folder: Path) -> OpenedOn:
    return OpenedOn("onnxruntime", bundles, {"fp32": 0, "fp16": 0}, "onnxruntime fp32, 2 threads")


def on_a_cuda_double(patch, bundles: Bundles, folder: Path) -> OpenedOn:
    use_gpu_double(patch, packages=("onnxruntime-gpu",))
    return OpenedOn("cuda", bundles, {"fp32": 2e-5, "fp16": 2e-2}, "cuda fp32 on GPU double")


def on_a_tensorrt_double(patch, bundles: Bundles, folder: Path) -> OpenedOn:
    """TensorRT engines that are the same graphs."""
    patch.setenv("GEOLRM_CACHE", str(folder / "cache"))
    devices = use_gpu_double(patch, packages=("onnxruntime-gpu", "tensorrt-rtx"))

    def of_engines(variant, precision):
        copy = folder / f"rtx-{variant}-{precision}"
        if not copy.exists():
            as_engines(bundles(variant, precision), copy)
        module = make_module(copy, lambda: devices[-1])
        patch.setattr(tensorrt_segment, "load_module", lambda package: module)
        return copy

    return OpenedOn("tensorrt-rtx", of_engines, {"fp32": 2e-5}, "tensorrt-rtx fp32 on GPU double")


def on_a_gpu(backend: str, tolerances: dict[str, float]):
    def opened(patch, bundles: Bundles, folder: Path) -> OpenedOn:
        try:
            present_gpu()
        except GeoLRMError as error:
            pytest.skip(str(error))
        for package in (*KERNEL_PACKAGES, PACKAGES[backend]):
            if installed_version(package) is None:
                pytest.skip(f"{package} is not installed")

        def made_here(variant, precision):
            path = folder / f"{backend}-{variant}-{precision}"
            if path.exists():
                return path
            try:
                choice = backend_choice.choose(backend, precision, None)
            except InputError as error:  # TensorRT for RTX does not build for every GPU
                pytest.skip(str(error))
            return write_gpu_bundle(tiny_model(tiny_config(variant)), path, precision, choice)

        said = f"{backend} {next(iter(tolerances))} on "
        return OpenedOn(backend, made_here, tolerances, said, repeats=False)

    return opened


# Files with pytest.mark.gpu are those that `geolrm bench gpu` runs.
BACKENDS = [
    pytest.param(on_the_cpu, id="cpu"),
    pytest.param(on_a_cuda_double, id="cuda double"),
    pytest.param(on_a_tensorrt_double, id="tensorrt-rtx double"),
]
GPUS = [
    ("cuda", on_a_gpu("cuda", {"fp32": 1e-4, "fp16": 2e-2})),
    ("tensorrt-rtx", on_a_gpu("tensorrt-rtx", {"fp16": 2e-2})),
    ("tensorrt", on_a_gpu("tensorrt", {"fp16": 2e-2})),
]
