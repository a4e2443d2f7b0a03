from pathlib import Path

from geolrm.engine.cuda.disk_cache import cache_folder, read_code, write_code


def test_what_was_written_is_read_and_what_is_damaged_is_not(tmp_path):
    path = tmp_path / "a" / "code.bin"
    path.parent.mkdir()
    assert read_code(path) is None
    write_code(path, b"machine code")
    assert read_code(path) == b"machine code"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert read_code(path) is None
    path.write_bytes(b"short")
    assert read_code(path) is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    write_code(tmp_path / "file" / "code.bin", b"machine code")
    assert read_code(tmp_path / "file" / "code.bin") is None


def test_the_folder_is_the_platforms_unless_one_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GEOLRM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "geolrm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "geolrm"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "geolrm"
