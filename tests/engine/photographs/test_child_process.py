"""pycolmap in a process of its own, and doubles of one that crashes, lies or never ends."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from geolrm import GeoLRMError, InputError
from geolrm.engine.photographs import child_process
from geolrm.engine.photographs.child_process import run_job


def child(code):
    return (sys.executable, "-c", f"import sys, json, os\njob = sys.stdin.readline()\n{code}")


def refused(tmp_path, code, job="match"):
    with pytest.raises(GeoLRMError) as raised:
        run_job(job, tmp_path / "log", command=child(code))
    return str(raised.value)


def test_progress_and_result_come_back(tmp_path):
    code = "print('noise'); print(json.dumps(dict(done=1, total=2))); " \
           "print(json.dumps(dict(result=json.loads(job)['x'] + 1)))"  # fmt: skip
    told = []
    done = run_job("a", tmp_path / "log", lambda *at: told.append(at), command=child(code), x=2)
    assert done == 3 and told == [(1, 2)]


GOES_ON = "use fewer or smaller photographs (--max-photos, --max-side), then call again, which goes on from here; see"  # noqa: E501


def test_memory_that_runs_out_is_one_sentence(tmp_path):
    assert refused(tmp_path, "os.kill(os.getpid(), 9)") == (
        "COLMAP ended without a result while it was to match photographs (killed, most likely "
        f"since memory ran out); {GOES_ON} {tmp_path / 'log'}"
    )


def test_a_crash_is_one_sentence(tmp_path):
    assert refused(tmp_path, "os.kill(os.getpid(), 11)", "build") == (
        "COLMAP ended without a result while it was to build a model (signal SIGSEGV); "
        f"{GOES_ON} {tmp_path / 'log'}"
    )
    assert "(exit code 3)" in refused(tmp_path, "os._exit(3)")


def test_an_error_of_colmap_is_one_sentence(tmp_path):
    said = refused(tmp_path, "print(json.dumps(dict(error='database is full')))", "extract")
    assert said == f"COLMAP could not find features: database is full; see {tmp_path / 'log'}"


@pytest.mark.parametrize("before", [9e6, 1e9], ids=["already", "meanwhile"])
def test_a_disk_that_fills_is_one_sentence_whatever_colmap_says(tmp_path, monkeypatch, before):
    """COLMAP may crash of it, or end as if nothing were wrong."""
    free = iter([before, 2e6])
    monkeypatch.setattr(child_process.shutil, "disk_usage",
                        lambda path: SimpleNamespace(free=next(free)))  # fmt: skip
    mark = tmp_path / "started"
    code = f"open({str(mark)!r}, 'w'); print(json.dumps(dict(result=1)))"
    with pytest.raises(InputError) as raised:
        run_job("match", tmp_path / "log", command=child(code))
    assert mark.exists() == (before > 64e6)
    assert str(raised.value) == (
        f"the disk of {str(tmp_path)!r} is full ({9 if before == 9e6 else 2} MB are free, and "
        "COLMAP needs 64 at least); make room and call again, which goes on from here"
    )


def test_an_interrupt_ends_the_child(tmp_path):
    mark = tmp_path / "pid"
    code = f"import time; open({str(mark)!r}, 'w').write(str(os.getpid())); " \
           "print(json.dumps(dict(done=1, total=2)), flush=True); time.sleep(60)"  # fmt: skip

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job("a", tmp_path / "log", interrupt, command=child(code))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_the_child_ends_with_its_parent():
    from geolrm.engine.photographs.child_process import COMMAND

    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b'{"job": "undistort", "images": []')  # a parent that dies amid its order
    process.stdin.close()
    start = time.monotonic()
    assert process.wait(timeout=60) != 0 and time.monotonic() - start < 60


def test_images_can_be_saved_after_pycolmap_was_here():
    """Imported first, pycolmap makes Pillow hang as it saves a PNG; here it never is."""
    code = (
        "import io, sys; from pathlib import Path; import tempfile\n"
        "from geolrm.engine.photographs.child_process import run_job\n"
        "log = Path(tempfile.mkdtemp()) / 'log'\n"
        "assert run_job('undistort', log, images=[]) == []\n"
        "assert 'pycolmap' not in sys.modules\n"
        "from PIL import Image\n"
        "Image.new('RGB', (9, 9)).save(io.BytesIO(), 'PNG'); print('saved')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "saved\n", done.stderr
