from geolrm.bench.gpu.packing import cubins
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.cuda import compiler, sources
from geolrm.engine.cuda.compiler import Compiled, compile_source


def test_every_kernel_is_carried_in_the_types_of_the_engine():
    found = list(cubins.carried_sources())
    assert {source.name for source in found} == set(sources.names())
    assert all(found.count(source) == 1 for source in found)
    kernel = DeformableCrossAttention(
        16, 48, 2, 8, value="float16", query="float32", weight="float32", out="float16"
    )
    assert kernel.source in found and GridSample().source in found
    assert GridSample("float16", "float32").source in found


def test_they_are_found_where_the_cache_is(tmp_path, monkeypatch):
    made = []

    def compile_here(name, arch, kind, macros):
        made.append((name, arch))
        return Compiled(f"{name} {arch}".encode(), kind, "")

    monkeypatch.setattr(compiler, "compiler_version", lambda: "13.0")
    monkeypatch.setattr(compiler, "_compile", compile_here)
    monkeypatch.setenv("GEOLRM_CACHE", "elsewhere")
    assert cubins.write_cubins(tmp_path, "sm_90") == len(made) == len(set(cubins_of(tmp_path)))
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path))
    before = len(made)
    code = compile_source("rope_indices", "sm_90").code
    assert code == b"rope_indices sm_90" and len(made) == before  # nothing was compiled again


def cubins_of(folder):
    return [path for path in folder.rglob("*.cubin")]
