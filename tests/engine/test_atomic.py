import pytest

from geolrm import InputError
from geolrm.engine.atomic import atomic_file, atomic_folder


def test_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "new" / "a.bin") as file:
        file.write(b"abc")
        assert not (tmp_path / "new" / "a.bin").exists()
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"abc"


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_folder_replaces_the_old_one(tmp_path):
    path = tmp_path / "bundle"
    for name in ("one", "two"):
        with atomic_folder(path) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in path.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_failure_keeps_the_old_folder(tmp_path):
    path = tmp_path / "bundle"
    with atomic_folder(path) as folder:
        (folder / "one").write_text("")
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as folder:
        (folder / "two").write_text("")
        raise KeyboardInterrupt
    assert [p.name for p in path.iterdir()] == ["one"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_unwritable_parent(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), atomic_folder(tmp_path / "file" / "x"):
        pass
