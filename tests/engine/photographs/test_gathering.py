"""Photographs of a source: found, taken in, and refused where they are too few or too many."""

import pytest
from samples.textured_box import orbit, write_photographs

from geolrm import InputError
from geolrm.engine.photographs.gathering import (
    UselessSourceError,
    check_useful,
    find_files,
    take_in_all,
    taken_paths,
)
from geolrm.engine.photographs.options import PhotographOptions
from geolrm.engine.photographs.steps import Steps


def tell(title):
    return lambda done, total: None


def test_files_are_found_in_natural_order(tmp_path):
    for name in ("b10.jpg", "b9.JPG", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    found = find_files(tmp_path, PhotographOptions(), Steps(tmp_path / "s"), tell, [])
    assert [path.name for path in found] == ["b9.JPG", "b10.jpg"]


def test_a_damaged_video_is_of_no_use(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    path.write_bytes(b"junk")
    with pytest.raises(UselessSourceError) as raised:
        find_files(path, PhotographOptions(), Steps(tmp_path / "s"), tell, [])
    assert str(raised.value) == (
        f"{str(path)!r} cannot be decoded: Invalid data found when processing input; it may be "
        "damaged, restore it"
    )


def test_too_many_are_refused_with_a_proposal(tmp_path):
    for index in range(10):
        (tmp_path / f"{index}.jpg").write_bytes(b"")
    with pytest.raises(UselessSourceError) as raised:
        find_files(tmp_path, PhotographOptions(max_photos=4), Steps(tmp_path / "s"), tell, [])
    assert str(raised.value) == (
        f"{str(tmp_path)!r} holds 10 photographs, more than --max-photos 4; 60 to 150 are enough "
        "for one object: put an even subset into a folder, such as one in 3, or raise --max-photos"
    )


def test_what_is_taken_in_is_paired_with_its_file_and_kept_by_content(tmp_path):
    paths = write_photographs(tmp_path / "p", orbit(8)[:3], width=160, height=120, focal=180)
    paths[1].write_bytes(b"no")
    steps = Steps(tmp_path / "s")
    taken, folder, key, broken = take_in_all(paths, PhotographOptions(), steps, tell)
    assert [each.name for each in taken] == ["00.png", "02.png"]
    assert taken_paths(taken, paths) == [(taken[0], paths[0]), (taken[1], paths[2])]
    assert (folder / taken[1].file).is_file() and steps.repeated == []
    assert broken == {"01.png": f"{str(paths[1])!r} is no image that can be read"}
    again = take_in_all(paths, PhotographOptions(), steps, tell)
    assert again == (taken, folder, key, broken) and steps.repeated == ["photographs"]
    paths[1].write_bytes(paths[0].read_bytes())  # another content: all is made anew
    assert take_in_all(paths, PhotographOptions(), steps, tell)[2] != key


def test_heic_without_its_package_is_refused_rather_than_left_out(tmp_path, monkeypatch):
    paths = write_photographs(tmp_path / "p", orbit(8)[:3], width=160, height=120, focal=180)
    paths[2] = paths[2].rename(tmp_path / "p" / "02.HEIC")
    monkeypatch.setattr("geolrm.engine.system.extras.installed_version", lambda package: None)
    with pytest.raises(InputError) as raised:
        take_in_all(paths, PhotographOptions(), Steps(tmp_path / "s"), tell)
    assert str(raised.value) == (
        "reading .HEIC needs pillow-heif, which is not installed; run: pip install "
        "'geolrm[photos]', or export JPEG"
    )


def test_three_are_enough_and_two_are_counted_by_what_is_wrong(tmp_path):
    check_useful(tmp_path, 9, 3, {"a": "blurred"}, {})
    early = {"a": "blurred", "b": "equal to c.jpg", "d": "equal to c.jpg"}
    with pytest.raises(UselessSourceError) as raised:
        check_useful(tmp_path, 6, 2, early, {"e": "damaged"})
    assert str(raised.value) == (
        f"of 6 photographs of {str(tmp_path)!r} 2 can be used (1 blurred, 2 of one spot, equal to "
        "another, 1 unreadable), and a capture needs at least 3; take sharp ones from all around "
        "the object"
    )
    with pytest.raises(UselessSourceError) as raised:
        check_useful(tmp_path, 4, 0, {"a": "blurred"}, {"b": "no", "c": "no", "d": "no"})
    assert str(raised.value).endswith("at least 3; restore the files, or export them as JPEG")
