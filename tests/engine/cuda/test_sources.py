"""A kernel is compiled again when something that it includes changes, and only then."""

import shutil

import pytest

from geolrm.engine.cuda import sources


@pytest.fixture
def tree(tmp_path, monkeypatch):
    shutil.copytree(sources.FOLDER / "cuda", tmp_path / "cuda")
    shutil.copytree(sources.FOLDER / "arithmetic", tmp_path / "arithmetic")
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    return tmp_path


def test_every_header_that_is_included_counts_and_no_other():
    included = {
        name: {path.name for path in sources.included(sources.FOLDER / "cuda" / f"{name}.cu")}
        for name in sources.names()
    }
    assert included["rope_indices"] == {"rope_indices.cu", "device.h"}
    assert included["grid_sample"] == {"grid_sample.cu", "device.h", "grid_place.h"}
    attention = {"deformable_cross_attention.cu", "device.h", "tent_taps.h"}
    assert included["deformable_cross_attention"] == attention
    assert {"scan.h", "splat.h", "device.h", "splat_view.h"} <= included["splat_blend"]


def test_an_edit_changes_what_includes_it(tree):
    before = {name: sources.fingerprint(name) for name in sources.names()}
    header = tree / "arithmetic" / "tent_taps.h"
    header.write_text(header.read_text() + "// edited\n")
    changed = [name for name in before if sources.fingerprint(name) != before[name]]
    assert changed == ["deformable_cross_attention"]
    (tree / "cuda" / "device.h").write_text("// edited\n")
    assert all(sources.fingerprint(name) != before[name] for name in before)


def test_headers_may_include_each_other(tree):
    (tree / "cuda" / "scan.h").write_text('#include "cuda/device.h"\n#include "cuda/scan.h"\n')
    assert len(sources.included(tree / "cuda" / "select_anchors.cu")) == 4
