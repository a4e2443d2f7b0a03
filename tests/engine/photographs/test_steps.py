"""Steps that are done once for the same inputs."""

import json
from pathlib import Path

import pytest

from geolrm import InputError
from geolrm.engine.photographs.steps import MANIFEST, Steps, digest, file_digest


def test_a_step_is_done_once_for_its_inputs(tmp_path):
    calls = []
    for expected in ([], ["a"]):
        steps = Steps(tmp_path / "s")
        place = steps.place("a", "x", 1)
        assert steps.done(place, lambda: calls.append(1) or {"n": len(calls)}) == {"n": 1}
        assert steps.repeated == expected
    assert calls == [1]


def test_other_inputs_replace_the_step_and_no_other(tmp_path):
    steps = Steps(tmp_path)
    first, other = steps.place("a", 1), steps.place("a_b", 1)
    second = steps.place("a", 2)
    assert not first.exists() and other.exists() and second.exists()


def test_what_an_interrupt_left_is_still_there(tmp_path):
    steps = Steps(tmp_path)
    place = steps.place("a", 1)

    def interrupted():
        (place / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.done(place, interrupted)
    again = Steps(tmp_path)
    assert again.done(again.place("a", 1), lambda: (place / "half").read_text()) == "x"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_damaged_manifest_is_no_result(tmp_path, content):
    steps = Steps(tmp_path)
    place = steps.place("a", 1)
    (place / MANIFEST).write_text(content)
    assert steps.done(place, lambda: 5) == 5
    assert json.loads((place / MANIFEST).read_text())["result"] == 5


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="cannot write .*Not a directory"):
        Steps(tmp_path / "f" / "s")


def test_digests_tell_content(tmp_path):
    assert digest(1, "a") == digest(1, "a") != digest(1, "b")
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1"), b.write_bytes(b"1")
    assert file_digest(a) == file_digest(b)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        file_digest(Path(tmp_path / "none"))
