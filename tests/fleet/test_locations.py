import os

import fsspec
import pytest

from geolrm import InputError
from geolrm.fleet.locations import Location, StorageError, _listed


@pytest.fixture(params=["here", "memory"])
def root(request, tmp_path):
    """A folder of files, here and in a storage of fsspec's."""
    files = {"a.txt": b"a", "inner/b.txt": b"bb", "inner/c/d.txt": b""}
    if request.param == "here":
        url = str(tmp_path / "root")
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield url
        return
    storage = fsspec.filesystem("memory")
    for name, content in files.items():
        storage.pipe_file(f"/root/{name}", content)
    yield "memory://root"
    storage.rm("/root", recursive=True)


def test_folders_are_listed_in_order(root):
    location = Location(root)
    assert location.name == "root" and location.exists() and not location.is_file()
    assert location.entries() == (["a.txt"], ["inner"])
    assert [(f.name, f.size) for f in location.listing(9)] == [
        ("a.txt", 1), ("inner/b.txt", 2), ("inner/c/d.txt", 0)
    ]  # fmt: skip
    file = location.child("inner").child("b.txt")
    assert file.is_file() and [f.name for f in file.listing(9)] == ["b.txt"]
    with file.opened() as opened:
        assert opened.read() == b"bb"
    assert Location(file.url).is_file()
    (match,) = Location(f"{root}/inn*/b.*").matches()
    assert location.at(match).url == file.url


def test_a_listing_changes_with_its_files(root):
    location = Location(root)
    before = location.listing(9)
    assert location.listing(9) == before
    if location.local is not None:
        os.utime(location.local / "a.txt", ns=(1, 1))
    else:
        location.files.pipe_file("/root/a.txt", b"b")
    assert location.listing(9) != before


def test_more_files_than_a_capture_has_are_refused(root):
    with pytest.raises(InputError) as raised:
        Location(root).listing(2)
    assert str(raised.value) == (
        f"{root!r} holds more than 2 files; give the folder of a capture, with nothing else in it"
    )


def test_what_is_not_there_is_one_sentence(root):
    place = Location(root).child("none")
    assert not place.exists()
    with pytest.raises(InputError, match=r"none' is not there; check the path$"), place.opened():
        pass


def test_unknown_schemes_are_one_sentence():
    with pytest.raises(InputError, match=r"^'nothing://a' cannot be opened: Protocol not known"):
        Location("nothing://a")
    with pytest.raises(InputError, match="holds a null character"):
        Location("a\0b")


@pytest.mark.parametrize("key", ["etag", "md5Hash", "LastModified", "blob_id"])
def test_what_storages_say_of_a_version_is_told(key):
    """S3, Google's, Azure's and Hugging Face's each have a name of their own for it."""
    told = {_listed("a", {"name": "a", "size": 1, "type": "file", key: v}) for v in "xy"}
    assert {file.changed for file in told} == {"x", "y"}


def test_what_a_storage_fails_to_do_is_told_from_what_is_not_there(root, monkeypatch):
    location = Location(root)

    def fails(*_, **__):
        raise RuntimeError("HTTP 503")

    monkeypatch.setattr(type(location.files), "ls", fails)
    with pytest.raises(StorageError) as raised:
        location.entries()
    assert str(raised.value) == f"{root!r} cannot be read: HTTP 503"
    with pytest.raises(InputError) as missing, location.child("none").opened():
        pass
    assert not isinstance(missing.value, StorageError)
