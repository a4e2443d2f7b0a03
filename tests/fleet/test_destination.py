import multiprocessing
import os

import fsspec
import pytest

from geolrm import GeoLRMError, InputError
from geolrm.fleet.destination import Destination


@pytest.fixture(params=["here", "memory"])
def destination(request, tmp_path):
    made = Destination(str(tmp_path / "out") if request.param == "here" else "memory://out")
    made.prepare()
    yield made
    if request.param == "memory" and made.location.exists():
        fsspec.filesystem("memory").rm("/out", recursive=True)


def test_files_are_written_read_and_removed(destination):
    assert destination.names() == set() and destination.read("captures/a.json") is None
    destination.put_bytes("captures/a.json", b"one")
    destination.put_bytes("captures/a.json", b"two")
    destination.put("b.txt", lambda path: path.write_text("three"))
    assert destination.read("captures/a.json") == "two" and destination.read("b.txt") == "three"
    assert destination.names() == {"captures/a.json"} and destination.has("captures/a.json")
    assert Destination(destination.url).read("b.txt") == "three"
    destination.remove("captures/a.json")
    destination.remove("captures/a.json")
    assert not destination.has("captures/a.json")


def test_what_fails_to_be_written_is_not_there(destination):
    def half(path):
        path.with_name("other").write_text("half")
        raise InputError("full")

    with pytest.raises(InputError, match="^full$"):
        destination.put("captures/a.ply", half)
    assert not destination.has("captures/a.ply")


def test_an_upload_that_fails_leaves_nothing(monkeypatch):
    made = Destination("memory://broken")
    monkeypatch.setattr(made.location.files, "mv", lambda *_: 1 / 0)
    with pytest.raises(InputError) as raised:
        made.put_bytes("a", b"1")
    assert str(raised.value) == "cannot write 'memory:///broken/a': division by zero"
    assert made.location.entries() == ([], [])


def test_files_that_killed_calls_left_are_removed(tmp_path):
    made = Destination(str(tmp_path))
    made.prepare()
    left = tmp_path / "captures" / ".a.ply.geolrm-01234567.part"
    left.write_bytes(b"half")
    other = tmp_path / "captures" / ".a.ply.part"
    other.write_bytes(b"of the user")
    made.prepare()
    assert not left.exists() and other.exists()


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError) as raised:
        Destination(str(tmp_path / "out")).prepare()
    assert str(raised.value) == f"output {str(tmp_path / 'out')!r} is a file; name a folder"


def hold_and_die(path, ready):
    with Destination(path).hold("a", 0):
        ready.set()
        os.kill(os.getpid(), 9)


def test_one_call_holds_a_capture_until_it_ends(tmp_path):
    made = Destination(str(tmp_path))
    made.prepare()
    with made.hold("a", 0), made.hold("b", 0):
        with pytest.raises(GeoLRMError) as raised, made.hold("a", 0):
            pass
        assert str(raised.value) == "another call writes 'a'; wait for it"
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold_and_die, args=(str(tmp_path), ready))
    process.start()
    process.join()
    assert ready.is_set() and process.exitcode == -9
    with made.hold("a", 0):
        pass
    assert not list((tmp_path / ".locks").glob("a*"))
