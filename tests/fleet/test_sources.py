import json

import fsspec
import pyarrow
import pytest
from pyarrow import parquet
from samples.small_captures import write_captures, zip_capture

from geolrm import InputError
from geolrm.fleet.locations import Location
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.sources import find_sources

NONE = CaptureOptions()


def ids(*inputs):
    return [source.id for source in find_sources(map(str, inputs), NONE)]


def test_folders_of_captures_are_searched(tmp_path, captures):
    write_captures(captures / "more", "de")
    zip_capture(captures / "a", captures / "packed.zip")
    (captures / "readme.txt").write_text("no capture")
    (captures / ".hidden").mkdir()
    assert ids(captures) == ["a", "b", "c", "d", "e", "packed"]
    assert ids(captures / "a") == ["a"]
    assert ids(captures / "a" / "transforms.json") == ["a"]
    found = find_sources([str(captures)], NONE)
    assert found[0].url == str(captures / "a") and found[-1].url == str(captures / "packed.zip")


def test_kinds_of_captures_are_told_from_folders(tmp_path):
    for inner in ("model/sparse/0", "object/campos_512_v4/00000", "plain"):
        (tmp_path / inner).mkdir(parents=True)
    (tmp_path / "plain" / "a.PNG").write_bytes(b"")
    assert ids(tmp_path) == ["model", "object", "plain"]


def test_globs_and_repeated_inputs(captures):
    assert ids(captures / "[ab]") == ["a", "b"]
    assert ids(captures, captures / "a", f"{captures}/*") == ["a", "b", "c"]


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path):
    write_captures(tmp_path, ["a[1]"])
    (source,) = find_sources([str(tmp_path / "a[1]")], NONE)
    assert source.url == str(tmp_path / "a[1]") and source.id.startswith("a_1")


def test_captures_of_one_name_get_a_hash(tmp_path):
    write_captures(tmp_path / "x", "ab")
    write_captures(tmp_path / "y", "A")
    both = ids(tmp_path / "x", tmp_path / "y")
    assert both[1] == "b" and both[0].startswith("a-") and both[2].startswith("A-")
    assert len({name.casefold() for name in both}) == 3
    assert sorted(both) == sorted(ids(tmp_path / "y", tmp_path / "x"))


@pytest.mark.parametrize("name", ["a b", "<b>", "a\x1b[2J", "nul", "..a", "x" * 200, "löwe"])
def test_names_become_names_of_files(tmp_path, name):
    write_captures(tmp_path, [name])
    (found,) = ids(tmp_path / name)
    assert found == "löwe" if name == "löwe" else found != name
    assert found.isprintable() and len(found.encode()) <= 120 and not found.startswith(".")
    assert not set(found) & set(' <>/\\:*?"|')


def test_lists_set_options(tmp_path, captures):
    rows = [{"capture": "a", "seed": 3}, {"capture": str(captures / "b"), "id": "bee"},
            {"capture": "a", "seed": None, "views": [0, 1]}]  # fmt: skip
    (captures / "l.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    found = find_sources([str(captures / "l.jsonl")], CaptureOptions(seed=9))
    assert [source.options.seed for source in found] == [3, 9, 9]
    assert found[1].id == "bee" and found[2].options.views == "0,1"
    assert found[0].id != found[2].id and found[0].url == str(captures / "a")
    columns = {"capture": ["a", "b"], "seed": [3, None], "id": [None, "bee"]}
    parquet.write_table(pyarrow.table(columns), captures / "l.parquet")
    again = find_sources([str(captures / "l.parquet")], CaptureOptions(seed=9))
    assert [(s.id, s.options.seed) for s in again] == [("a", 3), ("bee", 9)]


def test_other_storages(captures):
    storage = fsspec.filesystem("memory")
    storage.put(str(captures), "/shelf", recursive=True)
    try:
        found = find_sources(["memory://shelf"], NONE)
        assert [(s.id, s.url) for s in found] == [
            (name, f"memory:///shelf/{name}") for name in "abc"
        ]
        assert find_sources(["memory://shelf/[a-b]"], NONE) == found[:2]
    finally:
        storage.rm("/shelf", recursive=True)


def refusal(*inputs):
    with pytest.raises(InputError) as raised:
        find_sources(map(str, inputs), NONE)
    return str(raised.value)


WANTED = (
    "give capture folders, folders of them, zip files, or a list (.jsonl, .parquet) with a field "
    "'capture'"
)


def test_inputs_without_captures_are_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(empty) == f"{str(empty)!r} holds no captures; {WANTED}"
    assert refusal(tmp_path / "no") == f"{str(tmp_path / 'no')!r} is not there; {WANTED}"
    assert refusal(f"{empty}/*") == f"'{empty}/*' matches nothing; check the pattern"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no JSON: Expecting property name enclosed in double quotes: line 1 column "
              "2 (char 1); give one object a line"),
        ("[1]", 'line 2 has no capture; give a line such as {"capture": "shoe", "seed": 1}'),
        ('{"capture": 1}', 'line 2 has no capture; give a line such as {"capture": "shoe", "seed": '
                           '1}'),
        ('{"capture": "a", "id": " "}', "line 2: id is ' '; give a name, or leave it out"),
        ('{"capture": "../a"}', "line 2: '../a' leads out of the list's folder; give a full path"),
        ('{"capture": "a", "seed": 0.5}', "line 2: seed is 0.5; give a whole number"),
    ],
)  # fmt: skip
def test_damaged_lists_are_refused(captures, line, said):
    file = captures / "l.jsonl"
    file.write_text(f'{{"capture": "a"}}\n{line}\n')
    assert refusal(file) == f"{file}, {said}"


def test_results_are_no_captures(tmp_path, captures, monkeypatch):
    """Nor where the output lies in an input, or an input is a link to it."""
    inside = captures / "out"
    (inside / "captures").mkdir(parents=True)
    (inside / "captures/a.webp").write_bytes(b"thumbnail")
    (tmp_path / "link").symlink_to(captures)
    results = Location(str(inside / "captures"))
    for given in (captures, tmp_path / "link"):
        names = [source.id for source in find_sources([str(given)], CaptureOptions(), results)]
        assert names == ["a", "b", "c"]
    matched = find_sources([f"{captures}/*"], CaptureOptions(), results)
    assert [source.id for source in matched] == ["a", "b", "c"]
    monkeypatch.chdir(inside)
    with pytest.raises(InputError) as raised:
        find_sources(["captures"], CaptureOptions(), results)
    assert str(raised.value) == "'captures' is where the results go; name another --output"
    assert len(find_sources([str(inside)], CaptureOptions())) == 1  # what it would be taken for


def test_damaged_parquet_is_refused(captures):
    (captures / "l.parquet").write_bytes(b"PAR1 no")
    assert "l.parquet is no Parquet file: " in refusal(captures / "l.parquet")
    (captures / "l.jsonl").write_bytes(b"[" * (2 << 20))
    assert "is longer than 1,048,576 bytes; give one object a line" in refusal(captures / "l.jsonl")
