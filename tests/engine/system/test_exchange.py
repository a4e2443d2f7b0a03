"""Two folders change names at once, or it is said that they cannot."""

import ctypes
import errno
import sys

import pytest

from geolrm.engine.system import exchange as module
from geolrm.engine.system.exchange import exchange


def folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.skipif(sys.platform != "linux", reason="its file systems here can")
def test_folders_change_names(tmp_path):
    first, second = folders(tmp_path)
    assert exchange(first, second)
    assert [path.name for path in first.iterdir()] == ["b"]
    assert [path.name for path in second.iterdir()] == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="the number is Linux'")
def test_a_missing_folder_is_an_error(tmp_path):
    first, _ = folders(tmp_path)
    with pytest.raises(FileNotFoundError):
        exchange(first, tmp_path / "none")


@pytest.mark.parametrize("code", sorted(module.UNABLE))
def test_where_it_cannot_be_done_nothing_is(tmp_path, monkeypatch, code):
    class Library:
        def renameat2(self, *_):
            ctypes.set_errno(code)
            return -1

    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: Library())
    monkeypatch.setattr(module.sys, "platform", "linux")
    first, second = folders(tmp_path)
    assert not exchange(first, second)
    assert [path.name for path in first.iterdir()] == ["a"]


def test_a_library_without_the_call(tmp_path, monkeypatch):
    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: object())
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(module.sys, "platform", platform)
        assert not exchange(*(tmp_path / name for name in "ab"))


def test_other_refusals_are_errors(tmp_path, monkeypatch):
    class Library:
        def renamex_np(self, *_):
            ctypes.set_errno(errno.EACCES)
            return -1

    monkeypatch.setattr(module.ctypes, "CDLL", lambda *_, **__: Library())
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with pytest.raises(PermissionError):
        exchange(*(tmp_path / name for name in "ab"))
