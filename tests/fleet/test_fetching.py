import os
import shutil
import tempfile
from pathlib import Path

import fsspec
import pytest
from samples.small_captures import zip_capture

from geolrm import InputError, load_capture
from geolrm.fleet import fetching
from geolrm.fleet.archives import ZipLimits
from geolrm.fleet.fetching import fetched, stamp_of


@pytest.fixture
def capture(captures):
    return captures / "a"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def hash_of(url):
    with fetched(str(url)) as (_, digest):
        return digest


def test_a_stamp_changes_with_times_and_sizes(capture):
    before = stamp_of(str(capture))
    assert stamp_of(str(capture)) == before == stamp_of(str(capture / "transforms.json"))
    image = next(capture.rglob("*.png"))
    os.utime(image, ns=(1, 1))
    assert stamp_of(str(capture)) != before
    with pytest.raises(InputError, match="is not there; check the path$"):
        stamp_of(str(capture / "none.zip"))


def test_a_hash_is_that_of_names_and_bytes(capture, tmp_path):
    before = hash_of(capture)
    image = next(capture.rglob("*.png"))
    os.utime(image, ns=(1, 1))
    assert hash_of(capture) == before == hash_of(shutil.copytree(capture, tmp_path / "copy"))
    image.rename(image.with_name("other.png"))
    renamed = hash_of(capture)
    image.with_name("other.png").write_bytes(b"other")
    assert len({before, renamed, hash_of(capture)}) == 3


def test_folders_here_are_read_in_place(capture, temporary):
    for path in (capture, capture / "transforms.json"):
        with fetched(str(path)) as (place, _):
            assert place == path and not list(temporary.iterdir())


def test_zip_files_are_unpacked_and_removed(capture, tmp_path, temporary):
    file = zip_capture(capture, tmp_path / "a.zip")
    with fetched(str(file)) as (place, digest):
        assert place.name == "a" and place.is_relative_to(temporary)
        assert load_capture(place).names == load_capture(capture).names
    assert not list(temporary.iterdir()) and digest == hash_of(file) != hash_of(capture)


def test_refused_zip_files_leave_nothing(tmp_path, temporary):
    (tmp_path / "a.zip").write_bytes(b"no")
    with pytest.raises(InputError) as raised, fetched(str(tmp_path / "a.zip")):
        pass
    assert str(raised.value) == (
        f"{str(tmp_path / 'a.zip')!r} is no zip file that can be read: File is not a zip file; "
        "pack the capture again"
    )
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("path", ["a", "a/transforms.json", "a.zip"])
def test_captures_elsewhere_are_copied_and_removed(capture, tmp_path, temporary, path):
    storage = fsspec.filesystem("memory")
    storage.put(str(capture), "/there/a", recursive=True)
    storage.put_file(str(zip_capture(capture, tmp_path / "a.zip")), "/there/a.zip")
    try:
        with fetched(f"memory://there/{path}") as (place, digest):
            assert place.is_relative_to(temporary)
            assert place.name == Path(path).name.removesuffix(".zip")
            assert load_capture(place).names == load_capture(capture).names
        assert digest == hash_of(tmp_path / path if path == "a.zip" else capture)
        assert len(stamp_of(f"memory://there/{path}")) == 64
    finally:
        storage.rm("/there", recursive=True)
    assert not list(temporary.iterdir())


def test_too_many_bytes_are_refused_before_they_are_read(capture, monkeypatch):
    monkeypatch.setattr(fetching, "LIMITS", ZipLimits(total_bytes=1000))
    with pytest.raises(InputError) as raised:
        stamp_of(str(capture))
    total = sum(path.stat().st_size for path in capture.rglob("*") if path.is_file())
    assert str(raised.value) == (
        f"{str(capture)!r} holds {total:,} bytes; at most 1,000 are read: use fewer or smaller "
        "images"
    )
