"""A kernel is compiled again when something that it includes changes, and only then."""

import shutil

import pytest

from geolrm.engine.cuda import sources


@pytest.fixture
def tree(tmp_path, monkeypatch):
    shutil.copytree(sources.FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    return tmp_path


def test_every_header_that_is_included_counts_and_no_other():
    included = {
        name: {file.name for file in sources.included(sources.path(name))}
        for name in sources.names()
    }
    assert included["rope_indices"] == {"rope_indices.cu", "device.cuh"}
    assert included["grid_sample"] == {"grid_sample.cu", "device.cuh", "grid_place.cuh"}
    attention = {"deformable_cross_attention.cu", "device.cuh", "pairs.cuh", "tent_taps.h"}
    assert included["deformable_cross_attention"] == attention
    assert {"scan.cuh", "splat.cuh", "device.cuh", "splat_view.h"} <= included["rasterizer/blend"]


def test_an_edit_changes_what_includes_it(tree):
    before = {name: sources.fingerprint(name) for name in sources.names()}
    header = tree / "arithmetic" / "tent_taps.h"
    header.write_text(header.read_text() + "// edited\n")
    changed = [name for name in before if sources.fingerprint(name) != before[name]]
    assert changed == ["deformable_cross_attention"]
    (tree / "cuda" / "device.cuh").write_text("// edited\n")
    assert all(sources.fingerprint(name) != before[name] for name in before)


def test_a_source_is_named_by_its_operator_or_by_its_stage_of_one():
    assert {"grid_sample", "query_order", "rasterizer/blend"} <= set(sources.names())
    assert sources.path("grid_sample") == sources.FOLDER / "grid_sample" / "grid_sample.cu"
    assert sources.path("rasterizer/blend") == sources.FOLDER / "rasterizer" / "blend.cu"


def test_headers_may_include_each_other(tree):
    circle = '#include "cuda/device.cuh"\n#include "cuda/scan.cuh"\n'
    (tree / "cuda" / "scan.cuh").write_text(circle)
    assert len(sources.included(sources.path("select_anchors"))) == 4
