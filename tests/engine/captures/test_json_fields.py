import pytest

from geolrm import InputError
from geolrm.engine.captures import json_fields


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no valid JSON: .*; repair or re-create it"),
        (b"[" * 100_000, "is no valid JSON"),
        (b"\xff", "is no valid JSON"),
        (b"[1]", "holds a list; it must be a JSON object"),
        (None, "cannot be read: No such file or directory; restore it"),
    ],
)
def test_files_that_hold_no_object(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        json_fields.read_json(tmp_path / "a.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert json_fields.read_json(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr(json_fields, "MAX_JSON_BYTES", 7)
    with pytest.raises(InputError, match="is larger than 7 bytes; it cannot be a capture"):
        json_fields.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("value", [True, "5", [1], float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_named(value):
    with pytest.raises(InputError, match="here: w is .*; it must be a finite number"):
        json_fields.number({"w": value}, "w", "here")


def test_numbers_and_their_absence():
    fields = {"w": 3, "h": -0.5}
    assert json_fields.number(fields, "w", "") == 3.0
    assert json_fields.number(fields, "x", "") is None
    assert json_fields.positive(fields, "w", "") == 3.0
    assert json_fields.positive(fields, "x", "") is None
    with pytest.raises(InputError, match="here: h is -0.5; it must be positive"):
        json_fields.positive(fields, "h", "here")
