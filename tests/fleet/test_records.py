import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from geolrm.fleet.records import (
    DONE,
    FAILED,
    Record,
    read_lines,
    read_record,
    write_lines,
    write_parquet,
)

RECORD = Record(
    "shoe", "/a/shoe", DONE, "c0de", seconds={"encode": 0.5, "total": 1.5}, gaussians=12,
    psnr=30.25, peak_memory_mb=300.5, node="n/1", backend="onnxruntime", threads=1, views=(0, 2),
    notes=("a note",), splats="captures/shoe.ply", page="captures/shoe.html",
    thumbnail="captures/shoe.webp", options={"seed": 1}, stamp="57a", call="ca11",
    finished="2026-01-01T00:00:00.000+00:00", version="0.1.0",
)  # fmt: skip
LOST = Record("lion", "/a/lion", FAILED, error='a "sentence"\n\x1b[2J \udcff', attempts=3)


def test_records_come_back():
    assert Record.from_json(RECORD.to_json()) == RECORD and "\n" not in LOST.to_json()
    assert Record.from_json(LOST.to_json()) == LOST
    assert RECORD.files == ("captures/shoe.ply", "captures/shoe.html", "captures/shoe.webp")
    newer = json.dumps(json.loads(RECORD.to_json()) | {"unknown": 1})
    assert Record.from_json(newer) == RECORD


def test_lines_come_back_by_id():
    text = write_lines([RECORD, LOST]).decode()
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["lion", "shoe"]
    assert read_lines(text + "damaged\n[]\n{}\n") == {"lion": LOST, "shoe": RECORD}
    assert read_lines(None) == {}


@pytest.mark.parametrize(
    "change",
    [{"splats": "../a"}, {"page": "captures/../../a"}, {"thumbnail": "/etc/passwd"}, {"splats": 3},
     {"content_hash": 1}, {"status": None}, {"views": 3}],
)  # fmt: skip
def test_records_that_lead_elsewhere_are_none(change):
    assert read_record(json.dumps(json.loads(RECORD.to_json()) | change)) is None


@given(st.text() | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_what_is_no_record_is_none(text):
    assert read_record(text) is None


def test_parquet_holds_the_same(tmp_path):
    (tmp_path / "a.parquet").write_bytes(write_parquet([RECORD, LOST]))
    lion, shoe = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert shoe["seconds"] == [("encode", 0.5), ("total", 1.5)] and shoe["views"] == [0, 2]
    assert json.loads(shoe["options"]) == {"seed": 1} and shoe["psnr"] == 30.25
    assert lion["error"] == 'a "sentence"\n\x1b[2J \\udcff'
    assert lion["gaussians"] is None and lion["attempts"] == 3
    same = set(json.loads(RECORD.to_json())) - {"seconds", "options", "views", "notes"}
    assert {name: shoe[name] for name in same} == {name: getattr(RECORD, name) for name in same}
