"""Rows that outlive an interrupt."""

from dataclasses import dataclass

import pytest

from geolrm import InputError
from geolrm.bench.photos.records import Records

FACTS = {"geolrm": "1.2"}


@dataclass(frozen=True)
class Row:
    name: str
    views: int


def test_what_was_kept_is_found_again(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    records = Records(path, FACTS)
    assert records.add("a", Row("shoe", 6)) == {"part": "a", "name": "shoe", "views": 6}
    records.add("b", Row("lion", 6))
    again = Records(path, FACTS)
    assert again.rows == records.rows and len(again.rows) == 2
    assert again.of("b") == [{"part": "b", "name": "lion", "views": 6}]
    assert again.find(part="a", name="shoe") is not None
    assert again.find(part="b", name="shoe") is None


def test_a_line_that_an_interrupt_cut_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    Records(path, FACTS).add("a", Row("shoe", 6))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"part": "a", "na')
    records = Records(path, FACTS)
    assert [row["name"] for row in records.rows] == ["shoe"] and path.read_bytes() == whole
    records.add("a", Row("lion", 6))
    assert len(Records(path, FACTS).rows) == 2


def test_rows_of_another_version_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    Records(path, FACTS)
    with pytest.raises(InputError, match=r'holds rows of \{"geolrm": "1.2"\}, and these are of'):
        Records(path, {"geolrm": "1.3"})
    path.write_text("no rows\n")
    with pytest.raises(InputError, match="is no file of rows; remove it, or give"):
        Records(path, FACTS)
    path.write_text("[1]\n")
    with pytest.raises(InputError, match="is no file of rows; remove it, or give"):
        Records(path, FACTS)


def test_without_a_file_rows_are_kept_in_memory():
    records = Records(None, FACTS)
    records.add("a", Row("shoe", 6))
    assert records.of("a") == [{"part": "a", "name": "shoe", "views": 6}]
