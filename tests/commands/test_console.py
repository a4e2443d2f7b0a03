import io
import sys

import pytest
from samples.gaussians import random_gaussians

from geolrm.commands import console
from geolrm.engine.errors import BundleError, GeoLRMError, InputError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("bad"), 2, "error: bad"),
        (BundleError("no bundle"), 2, "error: no bundle"),
        (GeoLRMError("failed"), 1, "error: failed"),
        (OSError(28, "No space left"), 1, "error: cannot write to standard output: No space left"),
        (MemoryError(), 1, "error: out of memory; use smaller inputs, or a machine with more"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_code(capsys, error, code, text):
    with pytest.raises(SystemExit) as caught, console.one_sentence_errors():
        raise error
    assert caught.value.code == code
    shown = capsys.readouterr().err
    assert shown.startswith(text) and shown.count("\n") == 1


def test_what_is_not_expected_is_not_hidden():
    with pytest.raises(ZeroDivisionError), console.one_sentence_errors():
        raise ZeroDivisionError


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
