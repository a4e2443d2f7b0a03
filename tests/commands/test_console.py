import io
import sys

import pytest
from samples.gaussians import random_gaussians

from geolrm.commands import console
from geolrm.engine.errors import InputError


def test_counts_are_words():
    assert console.counted(1, "Gaussian") == "1 Gaussian"
    assert console.counted(2000, "view") == "2,000 views"
    assert console.counted(0, "view") == "0 views"


def test_the_input_is_not_replaced(tmp_path):
    (tmp_path / "a.ply").write_text("")
    console.check_not_input(tmp_path / "b.ply", tmp_path / "a.ply")
    (tmp_path / "link.ply").symlink_to(tmp_path / "a.ply")
    with pytest.raises(InputError, match="link.ply' is the input file itself; name another"):
        console.check_not_input(tmp_path / "link.ply", tmp_path / "a.ply")


def test_nothing_to_see_is_a_warning(tmp_path):
    splats = random_gaussians()
    console.warn_if_empty(splats, tmp_path, "nothing is drawn")
    with pytest.warns(UserWarning, match="holds no Gaussians, and so nothing is drawn"):
        console.warn_if_empty(splats.select([]), tmp_path, "nothing is drawn")


def test_steps_are_plain_lines_where_there_is_no_terminal(capsys):
    with console.steps() as step:
        step("encode")
    with console.steps(enabled=False) as step:
        step("nothing")
    with console.progress_bar("rendering", 3) as advance:
        advance()
    assert capsys.readouterr().err == "encode ...\nrendering ...\n"


def test_tables_and_json_go_to_standard_output(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console.print_table("Times", ["stage", "ms"], [["encode", 1.5]])
    console.print_json({"a": [1]})
    assert "encode" in out.getvalue() and out.getvalue().endswith('{\n "a": [\n  1\n ]\n}\n')
