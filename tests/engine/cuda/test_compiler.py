import importlib.util

import pytest

from geolrm import GeoLRMError, InputError
from geolrm.engine.cuda import compiler
from geolrm.engine.cuda.compiler import compile_source

NEEDS_NVRTC = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
)
KERNEL = 'extern "C" __global__ void fill(float* out) { out[threadIdx.x] = VALUE; }'


@pytest.fixture
def source(monkeypatch, tmp_path):
    """One small kernel in place of the project's, and a cache of its own."""
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path))
    monkeypatch.setattr(compiler.sources, "text", lambda name: KERNEL)
    monkeypatch.setattr(compiler.sources, "fingerprint", lambda name: "a hash")


@pytest.mark.parametrize("arch", ["90", "sm90", "sm_x", "compute-90"])
def test_an_architecture_has_a_form(arch):
    with pytest.raises(InputError, match=f"arch is '{arch}'; it must be sm_NN or compute_NN"):
        compile_source("fill", arch)


@NEEDS_NVRTC
def test_code_is_made_once_for_its_macros(source, monkeypatch, tmp_path):
    first = compile_source("fill", "compute_80", {"VALUE": 3})
    assert first.kind == "ptx" and b".entry fill" in first.code
    made = []
    monkeypatch.setattr(compiler, "_compile", lambda *given: made.append(given) or first)
    assert compile_source("fill", "compute_80", {"VALUE": 3}).code == first.code and not made
    compile_source("fill", "compute_80", {"VALUE": 4})
    compile_source("fill", "compute_80", {"VALUE": 3}, cache=False)
    assert [given[3] for given in made] == [{"VALUE": "4"}, {"VALUE": "3"}]
    assert len(list((tmp_path / "kernels").iterdir())) == 2


@NEEDS_NVRTC
def test_an_empty_log_is_not_written_into_pythons_own_bytes(source):
    """A log of one byte once turned every ``b" "`` of the process into a zero."""
    compile_source("fill", "compute_80", {"VALUE": 3}, cache=False)
    assert b"a "[1:][0] == 32


@NEEDS_NVRTC
def test_what_does_not_compile_is_told(source):
    with pytest.raises(GeoLRMError, match=r"fill.cu does not compile for compute_80: .*VALUE"):
        compile_source("fill", "compute_80", cache=False)
    with pytest.raises(InputError, match=r"arch is 'sm_999'; NVRTC .* does not compile for it"):
        compile_source("fill", "sm_999", {"VALUE": 1}, cache=False)
