from pathlib import Path

import pytest

from geolrm.engine.backends.cuda import tensorrt_segment
from geolrm.engine.backends.cuda.onnxruntime_segment import OnnxRuntimeLoader
from geolrm.engine.backends.cuda.segment_loaders import loader


def test_graphs_are_loaded_by_onnx_runtime(monkeypatch):
    monkeypatch.delattr(tensorrt_segment, "Runtime")  # which is not asked
    assert type(loader("cuda", Path("cache"))) is OnnxRuntimeLoader


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_engines_are_loaded_by_the_package_that_built_them(monkeypatch, backend):
    monkeypatch.setattr(tensorrt_segment, "Runtime", lambda *given: given)
    assert loader(backend, Path("cache")) == (backend, Path("cache"))
    assert loader(backend) == (backend, None)
