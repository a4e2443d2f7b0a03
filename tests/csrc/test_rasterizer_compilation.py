"""NVRTC takes the kernels of the rasterizer and of refinement for every GPU, without one."""

import re

import pytest

from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.system.extras import KERNEL_PACKAGES, installed_version

ENTRIES = {
    "refinement": {"activate_splats", "compare_images", "step_adam"},
    "rasterizer/bin": {"bin_splats"},
    "rasterizer/blend": {"blend_tiles"},
    "rasterizer/chain": {"chain_splats", "sum_camera"},
    "rasterizer/decide": {"decide_pixels"},
    "rasterizer/gradient": {"tile_gradients", "splat_sums"},
    "rasterizer/project": {"pack_splats", "clear_tiles", "project_splats"},
    "rasterizer/sort": {"count_keys", "scatter_keys"},
    "rasterizer/trace": {"count_records", "trace_tiles", "decide_traces"},
}
# Three blocks of 256 threads a multiprocessor; two of 128 for what is all in double.
DOUBLE = ("chain_splats", "decide_pixels", "decide_traces")
MOST_REGISTERS = {"blend_tiles": 80, "trace_tiles": 80, **dict.fromkeys(DOUBLE, 255)}


def missing() -> str:
    for package in KERNEL_PACKAGES:
        if installed_version(package) is None:
            return f"{package} is not installed"
    return ""


@pytest.mark.skipif(bool(missing()), reason=missing() or "all there")
@pytest.mark.parametrize("arch", ["sm_75", "sm_86", "sm_89", "sm_90", "sm_120"])
@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_compiles_without_spills(name, arch):
    log = compile_source(name, arch, cache=False).log
    entries = re.findall(r"Compiling entry function '(\w+)'", log)
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    registers = list(map(int, re.findall(r"Used (\d+) registers", log)))
    assert set(entries) == ENTRIES[name] and len(entries) == len(spills) == len(registers)
    assert all(spill == ("0", "0") for spill in spills), log
    for entry, used in zip(entries, registers, strict=True):
        assert used <= MOST_REGISTERS.get(entry, 128), (entry, used)
