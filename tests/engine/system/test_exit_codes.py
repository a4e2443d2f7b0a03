import errno
import os
import pickle
import signal
import subprocess
import sys

import pytest

from geolrm import BundleError, GeoLRMError, InputError
from geolrm.engine.errors import CheckpointError, DeviceMemoryError, VerificationError
from geolrm.engine.system.exit_codes import exit_code, fail, one_sentence_errors

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def handler():
    """The handler of Ctrl-C is the process's own again after a test."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def leave(error):
    """The exit code of a command that raises."""
    with pytest.raises(SystemExit) as caught, one_sentence_errors():
        raise error
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("size is 0"), 2, "size is 0"),
        (BundleError("it is corrupt"), 2, "it is corrupt"),
        (CheckpointError("it lacks a tensor"), 2, "it lacks a tensor"),
        (VerificationError("they differ"), 1, "they differ"),
        (GeoLRMError("there is no driver"), 1, "there is no driver"),
        (FULL, 1, "cannot write to standard output: No space left on device"),
        (
            MemoryError(),
            1,
            "out of memory; use smaller inputs, or a machine with more memory",
        ),
    ],
)
def test_an_error_is_one_sentence_and_a_code(capsys, error, code, sentence):
    assert leave(error) == code
    assert capsys.readouterr() == ("", f"error: {sentence}\n")


def test_the_command_that_ran_out_of_memory_advises(capsys, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "OUT_OF_MEMORY", "use a smaller --size", False)
    assert leave(MemoryError()) == 1
    assert capsys.readouterr().err == "error: out of memory; use a smaller --size\n"


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), FileNotFoundError(errno.ENOENT, "none", "a.ply")]
)
def test_what_nobody_foresaw_keeps_its_traceback(capsys, error):
    with pytest.raises(type(error)) as caught, one_sentence_errors():
        raise error
    assert caught.value is error and capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_counts_whatever_a_library_made_of_it(capsys):
    with pytest.raises(SystemExit) as caught, one_sentence_errors():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise InputError("the file is truncated") from None
    assert caught.value.code == 130
    assert capsys.readouterr().err == "error: interrupted; no unfinished file was left\n"


def test_failing_prints_to_standard_error(capsys):
    with pytest.raises(SystemExit) as caught:
        fail("no", 7)
    assert caught.value.code == 7 and capsys.readouterr() == ("", "error: no\n")


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_unfinished_is_cleared_away_when_the_system_ends_a_command(tmp_path, number):
    code = (
        "import sys, time\n"
        "from geolrm.engine.system.atomic import atomic_file, atomic_folder\n"
        "from geolrm.engine.system.exit_codes import one_sentence_errors\n"
        "with one_sentence_errors(), atomic_file(sys.argv[1]), atomic_folder(sys.argv[2]):\n"
        "    print('writing', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "a", tmp_path / "b"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n" and len(list(tmp_path.iterdir())) == 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number and errors == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ignored_signals_stay_ignored_and_handlers_are_put_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with one_sentence_errors():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad"), 2),
        (BundleError("bad"), 2),
        (CheckpointError("bad"), 2),
        (GeoLRMError("failed"), 1),
        (VerificationError("failed"), 1),
        (DeviceMemoryError("failed"), 1),
        *((caused(InputError("full"), OSError(getattr(errno, name), "no")), 1)
          for name in ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM")),
        *((caused(InputError("wrong place"), OSError(getattr(errno, name), "no")), 2)
          for name in ("EACCES", "EROFS", "ENOTDIR", "ENAMETOOLONG", "EISDIR", "ENOENT")),
        (caused(InputError("full"), ValueError("No space left on device (os error 28)")), 1),
        (caused(InputError("wrong"), ValueError("Permission denied (os error 13)")), 2),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_no_bad_input(error, code):
    assert exit_code(error) == code
    with pytest.raises(SystemExit) as left, one_sentence_errors():
        raise error
    assert left.value.code == code


def test_a_code_survives_where_the_cause_does_not():
    error = caused(InputError("full"), OSError(errno.ENOSPC, "no"))
    error.exit_code = exit_code(error)
    handed_on = pickle.loads(pickle.dumps(error))
    assert handed_on.__cause__ is None and exit_code(handed_on) == 1


def test_what_is_lacking_anywhere_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as left, one_sentence_errors():
        raise OSError(errno.EMFILE, "Too many open files", "a\x1b[31m")
    assert left.value.code == 1
    assert capsys.readouterr().err == "error: 'a\\x1b[31m': Too many open files\n"
