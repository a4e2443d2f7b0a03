"""What TensorRT for RTX compiles is compiled once a machine."""

import gc
import importlib.util
from dataclasses import replace

import pytest
from doubles.device import GPU

from geolrm import Engine
from geolrm.engine.backends import selection as backend_selection
from geolrm.engine.backends.cuda import backend
from geolrm.engine.backends.cuda.runtime_cache import runtime_cache_path
from geolrm.engine.cuda.disk_cache import read_code, write_code


def load_again(rtx):
    """In a process of its own, as far as the module knows; which engines compiled kernels."""
    folder, module = rtx
    module.engines.clear()
    module.compiled.clear()
    engine = Engine(folder)
    assert engine.backend == "tensorrt-rtx"
    return engine, list(module.compiled)


def test_kernels_are_compiled_by_the_first_process_alone(rtx, tmp_path, views):
    engine, compiled = load_again(rtx)
    assert len(compiled) == len(rtx[1].engines) > 5
    (file,) = (tmp_path / "cache" / "tensorrt-rtx").iterdir()  # one, written after loading
    assert file.name.startswith("sm_89.") and file.suffix == ".cache"
    assert len(engine.run(*views).gaussians) > 100
    assert load_again(rtx)[1] == []


def test_kernels_of_later_shapes_are_written_when_the_engine_goes(rtx, tmp_path):
    engine, _ = load_again(rtx)
    (file,) = (tmp_path / "cache" / "tensorrt-rtx").iterdir()
    before = read_code(file)
    cache = engine._stages["proposal"]._operators[0]._segment._runtime.cache
    cache._state.cache.kernels.append(1000)  # compiled in the background meanwhile
    del engine, cache
    gc.collect()
    assert read_code(file) == before + b",1000"


@pytest.mark.parametrize("damage", ["bits", "short", "version", "folder"])
def test_what_is_damaged_or_refused_is_compiled_again(rtx, tmp_path, damage):
    load_again(rtx)
    (file,) = (tmp_path / "cache" / "tensorrt-rtx").iterdir()
    good = file.read_bytes()
    if damage == "bits":
        file.write_bytes(good[:-1] + b"X")
    elif damage == "short":
        file.write_bytes(b"")
    elif damage == "version":  # whole, but TensorRT refuses it
        write_code(file, read_code(file).replace(b"1.7.1", b"1.6.0"))
    else:
        file.unlink()
        file.mkdir()  # cannot be read, and not be replaced
    _, compiled = load_again(rtx)
    assert len(compiled) == len(rtx[1].engines)
    assert damage == "folder" or file.read_bytes() == good


def test_the_name_covers_engines_gpu_version_and_driver(monkeypatch, rtx):
    artifact = Engine(rtx[0]).manifest.gpu
    files = backend_selection.segment_files(artifact, "sm_89")
    given = (artifact, files, GPU, "1.7.1", (13, 0))
    paths = {runtime_cache_path(*given), runtime_cache_path(artifact, files[::-1], *given[2:])}
    assert len(paths) == 1
    paths.add(runtime_cache_path(artifact, files, GPU, "1.7.2", (13, 0)))
    paths.add(runtime_cache_path(artifact, files, GPU, "1.7.1", (13, 1)))
    paths.add(runtime_cache_path(artifact, files, replace(GPU, name="Other"), *given[3:]))
    paths.add(runtime_cache_path(artifact, files, replace(GPU, multiprocessors=1), *given[3:]))
    artifact.engines[files[0]] = type(artifact.engines[files[0]])(
        "f" * 64, *[getattr(artifact.engines[files[0]], f) for f in
                    ("builder", "kernels", "precision", "views", "anchors", "gpu")]
    )  # fmt: skip
    paths.add(runtime_cache_path(*given))
    assert len(paths) == 6


def test_tensorrt_itself_has_no_such_cache(rtx, tmp_path, monkeypatch):
    del rtx[1].IRuntimeCache
    monkeypatch.setattr(backend, "driver_cuda_version", lambda: (13, 0))
    Engine(rtx[0])
    assert not (tmp_path / "cache" / "tensorrt-rtx").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed"
)
def test_the_bindings_have_what_the_double_has():
    import tensorrt_rtx as trt

    assert {"create_runtime_config", "create_execution_context"} <= set(dir(trt.ICudaEngine))
    assert {
        "create_runtime_cache", "set_runtime_cache", "set_execution_context_allocation_strategy",
    } <= set(dir(trt.IRuntimeConfig))  # fmt: skip
    assert {"serialize", "deserialize"} <= set(dir(trt.IRuntimeCache))
    takes = trt.ICudaEngine.create_execution_context.__doc__
    assert "runtime_config: tensorrt_rtx_bindings.tensorrt_rtx.IRuntimeConfig" in takes
    assert trt.ExecutionContextAllocationStrategy.USER_MANAGED is not None
