import json

import numpy as np
import pytest
from harness.data import DATA, FULL_DATA, full_data

from geolrm.export.conformance.__main__ import main
from geolrm.export.conformance.case import Case
from geolrm.export.conformance.comparison import compare

ROOT = DATA / "conformance" if FULL_DATA is None else full_data("conformance")


QUICK = [("case_A", "head"), ("case_A", "token.scale1"), ("case_B", "token.scale05")]
OTHERS = [("case_A", "token.scale05"), ("case_B", "head"), ("case_B", "token.scale1")]


@pytest.mark.parametrize(
    ("case", "variant"), [*QUICK, *(pytest.param(*o, marks=pytest.mark.long) for o in OTHERS)]
)
def test_torch_and_engine_agree_with_the_recorded_arrays(case, variant):
    results = compare(Case.load(ROOT / case), variant)
    failed = [result for result in results if not result.passed]
    assert not failed
    names = {(r.side, r.array.rsplit(".", 1)[-1]) for r in results}
    for side in ("torch", "engine"):
        for array in ("feats", "occ_logits", "gs_xyz", "gs_opacity", "gs_scale", "gs_rotation"):
            assert (side, array) in names
    assert len(results) >= 28


@pytest.fixture
def altered(tmp_path):
    """Case A with one recorded array changed."""
    source = DATA / "conformance" / "case_A"

    def make(name, change):
        for file in ("config.json", "weights.safetensors"):
            (tmp_path / file).write_bytes((source / file).read_bytes())
        arrays = dict(np.load(source / "io.npz"))
        change(arrays)
        np.savez(tmp_path / "io.npz", **arrays)
        return tmp_path

    return make


def test_command_fails_on_a_deviation_and_names_it(altered, capsys):
    folder = altered("x", lambda arrays: arrays["gen.head.gs_xyz"].__iadd__(1e-4))
    assert main([str(folder), "--variant", "head", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = {(c["side"], c["array"]) for c in report["comparisons"] if not c["passed"]}
    assert failed == {("torch", "gen.head.gs_xyz"), ("engine", "gen.head.gs_xyz")}


def test_a_batch_of_two_scenes_and_an_unanswered_array(altered, capsys):
    def double(arrays):
        for name in list(arrays):
            if arrays[name].shape[:1] == (1,) or arrays[name].shape[:1] == (3,):
                arrays[name] = np.concatenate([arrays[name]] * 2)
            elif name.startswith("sel.") and name.endswith(".0"):
                arrays[name[:-1] + "1"] = arrays[name]
        arrays["gen.head.unknown"] = np.zeros(3)

    assert main([str(altered("x", double)), "--variant", "head", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [c["array"] for c in report["comparisons"] if not c["passed"]]
    assert failed == ["gen.head.unknown"]


@pytest.mark.parametrize("file", ["io.npz", "config.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", b"garbage, neither archive nor JSON"])
def test_damaged_cases_are_refused(altered, capsys, file, content):
    folder = altered("x", lambda arrays: None)
    (folder / file).write_bytes(content)
    assert main([str(folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["images", "sel.xyzs", "sel.perm.0"])
def test_incomplete_cases_are_refused(altered, capsys, name):
    assert main([str(altered("x", lambda arrays: arrays.pop(name))), "--variant", "head"]) == 2
    assert "is a malformed case: KeyError" in capsys.readouterr().err


def test_a_case_without_the_variant_is_refused(altered, capsys):
    def strip(arrays):
        for name in list(arrays):
            if name.startswith("gen."):
                del arrays[name]

    assert main([str(altered("x", strip))]) == 2
    assert "records no gen.* array of any variant" in capsys.readouterr().err


def test_command_refuses_an_unknown_variant(tmp_path, capsys):
    assert main([str(tmp_path), "--variant", "tail"]) == 2
    assert capsys.readouterr().err == (
        "error: --variant is 'tail'; it must be one of head, token.scale1, token.scale05\n"
    )


def test_command_refuses_what_is_no_case(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "is no conformance case: it lacks config.json" in capsys.readouterr().err
