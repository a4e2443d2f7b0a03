"""The benchmark of meshes' colours, on the shoe that comes with the package."""

import json

import numpy as np
import pytest
from samples.known_shapes import write_capture

from geolrm import Engine
from geolrm.bench.quality import mesh_colors
from geolrm.bench.quality.dataset import Subject
from geolrm.bench.quality.mesh_colors import ColorErrors, MeshColors, table
from geolrm.engine.captures import load_capture
from geolrm.examples import CAPTURES

pytest.importorskip("xatlas")


def test_the_shoes_texture_beats_its_vertex_colours():
    """A small version of what the documents state, in the views around that were not given."""
    subject = Subject("shoe", load_capture(CAPTURES / "shoe"), np.empty((0, 3), np.float32))
    engine = Engine("mini", threads=2)
    made = mesh_colors.measure(subject, engine, faces=6000, size=512, threads=2)
    for group in ("orbit_up", "orbit_level"):
        assert made.groups[group].texture > made.groups[group].vertices + 1.5, made
    assert made.all.texture > made.all.vertices
    assert made.textured <= 6000 < made.triangles


def test_the_table_has_means():
    errors = ColorErrors(20.0, 19.0, 22.5), ColorErrors(30.0, 28.0, 31.5)
    rows = [MeshColors(name, 9, 8, 1.0, each, {}) for name, each in zip("ab", errors, strict=True)]
    assert table(rows).splitlines()[2:] == [
        "| a | 20.00 | 19.00 | 22.50 | +2.50 |",
        "| b | 30.00 | 28.00 | 31.50 | +1.50 |",
        "| mean | 25.00 | 23.50 | 27.00 | +2.00 |",
    ]


def test_its_command_prints_json(tmp_path, monkeypatch, capsys):
    from samples.known_shapes import box_splats

    splats = box_splats()
    write_capture(tmp_path / "box", splats, splats.means)
    figures = ColorErrors(20.0, 19.0, 22.5)
    monkeypatch.setattr(mesh_colors, "Engine", lambda model, threads: None)
    monkeypatch.setattr(mesh_colors, "measure", lambda subject, engine, **options: MeshColors(
        subject.name, 9, options["faces"], 1.0, figures, {}))  # fmt: skip
    mesh_colors.main([str(tmp_path), "--faces", "500", "--json"])
    (found,) = json.loads(capsys.readouterr().out)["objects"]
    assert (found["name"], found["textured"], found["all"]["texture"]) == ("box", 500, 22.5)
