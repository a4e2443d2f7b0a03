import subprocess
import sys
import time

import pytest

from geolrm import GeoLRMError
from geolrm.engine.system.file_lock import locked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
HOLDER = """
import sys, time
from pathlib import Path
from geolrm.engine.system.file_lock import locked
with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_refused_with_the_sentence(holder, tmp_path):
    with (
        pytest.raises(GeoLRMError, match="^wait for it$"),
        locked(tmp_path / "lock", "wait for it"),
    ):
        pytest.fail("both hold it")


def test_a_killed_holder_frees_it(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "taken"):
        pass


def test_patience_waits_for_the_holder_to_leave(holder, tmp_path):
    start = time.monotonic()
    with pytest.raises(GeoLRMError), locked(tmp_path / "lock", "taken", patience=0.5):
        pytest.fail("both hold it")
    assert time.monotonic() - start >= 0.5


def test_the_file_stays_or_goes(tmp_path):
    with locked(tmp_path / "kept", ""):
        pass
    with locked(tmp_path / "gone", "", keep=False):
        assert (tmp_path / "gone").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
