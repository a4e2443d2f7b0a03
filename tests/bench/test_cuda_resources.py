import importlib.util
import re
from pathlib import Path

import pytest

from geolrm.bench import cuda_resources
from geolrm.engine.cuda import sources
from geolrm.engine.cuda.compiler import compiler_version

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
)


@pytest.mark.long  # it compiles every CUDA source for two architectures
def test_no_kernel_spills_and_every_source_is_measured():
    rows = cuda_resources.measure_all(("sm_75", "sm_90"))
    assert {source.name for _, source in cuda_resources.variants()} == set(sources.names())
    attention = [row for row in rows if row.entry.startswith("deformable_cross_attention")]
    assert len(attention) == 2 * 2 * 9 and all(row.registers <= 80 for row in attention)
    assert all(8 <= row.registers <= 255 for row in rows)
    assert [row for row in rows if row.spills or row.stack] == []
    entries = {row.entry for row in rows}
    assert {"deformable_cross_attention", "grid_sample", "write_anchors"} <= entries
    if compiler_version() == "13.0":
        check_the_documented_table(rows)


def check_the_documented_table(rows):
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    (head,) = (cells for cells in lines if cells[:2] == ["kernel", "storage"])
    table = {(cells[0].strip("`"), cells[1]): cells for cells in lines if len(cells) == len(head)}
    checked = 0
    for row in rows:
        cells = table.get((row.entry, row.variant))
        if cells is not None:
            documented = dict(zip(head, cells, strict=True))[row.architecture]
            assert documented == str(row.registers), (row.entry, row.variant, row.architecture)
            checked += 1
    assert checked >= 2 * 24


@pytest.mark.parametrize("architecture", ["sm_80", "sm_86", "sm_89", "sm_120"])
def test_attention_keeps_to_80_registers_on_other_gpus_too(architecture):
    """768 threads have no more."""
    made = [v for v in cuda_resources.variants() if v[1].name == "deformable_cross_attention"]
    rows = [
        row for name, source in made for row in cuda_resources.measure(name, source, architecture)
    ]
    assert len(rows) == 2 * 9
    assert [row for row in rows if row.registers > 80 or row.spills or row.stack] == []


def test_a_kernel_with_too_few_registers_is_seen(monkeypatch):
    """The numbers are read from the compiler: a bound that no kernel can keep must show."""
    name, source = next(cuda_resources.variants())
    text = sources.text(source.name)
    text = re.sub(r"GEOLRM_BOUNDS\(GEOLRM_CHUNKS.*, 1\)", "__launch_bounds__(1024, 2)", text)
    monkeypatch.setattr(sources, "text", lambda name: text)
    assert sum(row.spills for row in cuda_resources.measure(name, source, "sm_90")) > 0


def test_the_table_has_a_row_for_each_kernel_and_storage():
    row = cuda_resources.Resources("k", "float16", "sm_90", 40, 16, 0, 0, 4)
    text = cuda_resources.table([row])
    assert text.splitlines()[-1] == "| `k` | float16 | 40 | 16 B | 4 B |"
