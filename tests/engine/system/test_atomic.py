import os

import pytest

from geolrm import InputError
from geolrm.engine.system import atomic
from geolrm.engine.system.atomic import atomic_file, atomic_folder, check_writable


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


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_leftovers_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".bundle.geolrm-abcdefgh").mkdir()
    (tmp_path / ".a.bin.geolrm-abcdefgh.part").touch()
    with atomic_folder(tmp_path / "bundle"), atomic_folder(tmp_path / "bundle") as other:
        pass  # another export to the same place does not take the first one's folder
    with atomic_file(tmp_path / "a.bin"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "bundle"]
    assert not other.exists()


def test_names_up_to_the_limit_of_the_file_system(tmp_path):
    name = "n" * 251 + ".ply"
    with atomic_file(tmp_path / name) as file:
        file.write(b"x")
    for _ in range(2):
        with atomic_folder(tmp_path / ("f" * 255)) as folder:
            (folder / "one").touch()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f" * 255, name]


def test_where_folders_cannot_be_exchanged_the_old_one_steps_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "exchange", lambda first, second: False)
    path = tmp_path / "bundle"
    for name in ("one", "two"):
        with atomic_folder(path) as folder:
            (folder / name).touch()
    assert [p.name for p in path.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    monkeypatch.setattr(atomic.os, "replace", refusing(atomic.os.replace, "bundle"))
    refused = pytest.raises(InputError, match="cannot write .*: the disk is gone")
    with refused, atomic_folder(path) as folder:
        (folder / "three").touch()
    assert [p.name for p in path.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def refusing(replace, name):
    """Refuse once to put anything at a name."""
    refused = []

    def refuse(source, target):
        if target.name == name and not refused:
            refused.append(target)
            raise OSError(5, "the disk is gone")
        replace(source, target)

    return refuse


def test_symlinks_are_followed_and_devices_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_file(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"x"
    with pytest.raises(InputError, match="it is not a regular file"), atomic_file(os.devnull):
        pass


def test_check_writable(tmp_path):
    check_writable(tmp_path / "new" / "a.ply")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .* is not a folder"):
        check_writable(tmp_path / "file" / "a.ply")


def test_unwritable_parent(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), atomic_folder(tmp_path / "file" / "x"):
        pass
