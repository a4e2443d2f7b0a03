import pytest

from geolrm import GeoLRMError
from geolrm.engine.backends.cpu import operators
from geolrm.engine.backends.cuda import segment_loaders
from geolrm.engine.backends.opening import open_backend
from geolrm.engine.bundle.bundle import Bundle

ROLES = {"proposal", "reconstruction"}


@pytest.fixture
def bundle(gpu_bundles):
    return Bundle.open(gpu_bundles())


@pytest.fixture
def broken(monkeypatch):
    """The segments of GPUs do not load."""

    def loader(*_):
        raise GeoLRMError("the provider does not load")

    monkeypatch.setattr(segment_loaders, "loader", loader)


def test_auto_opens_the_gpu_that_is_asked_for(devices, bundle):
    selected, backend = open_backend("auto", bundle, 2, 0)
    assert (selected.name, selected.target) == ("cuda", "any")
    assert backend.device is devices[0] and backend.device.index == 0


def test_auto_falls_back_to_the_cpu_and_says_why(devices, broken, bundle):
    selected, backend = open_backend("auto", bundle, 2, 0)
    assert (selected.name, selected.target) == ("onnxruntime", None)
    assert selected.reason == "not cuda: the provider does not load"
    assert backend.device is None and set(backend.stages) >= ROLES


def test_a_gpu_that_was_asked_for_has_no_fallback(devices, broken, bundle):
    with pytest.raises(GeoLRMError, match="^the provider does not load$"):
        open_backend("cuda", bundle, 2, 0)


def test_the_cpu_is_opened_without_a_look_at_the_gpu(devices, broken, bundle):
    selected, backend = open_backend("onnxruntime", bundle, 2, 0)
    assert selected.name == "onnxruntime" and backend.device is None and devices == []


@pytest.mark.parametrize(("threads", "used"), [(2, 2), (None, 7), (64, 7)])
def test_threads_are_those_asked_for_and_at_most_all_cores(monkeypatch, bundle, threads, used):
    told = set()
    monkeypatch.setattr("geolrm.engine.system.cores.usable_cores", lambda: 7)
    monkeypatch.setattr(operators, "OnnxRuntimeSegment", lambda path, count: told.add(count))
    open_backend("onnxruntime", bundle, threads, 0)
    assert told == {used}
