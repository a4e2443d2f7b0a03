import subprocess
import sys
import tempfile

from geolrm.fleet.serving.working_folders import working_folder

KILLED = """
import os, signal, sys, tempfile
from geolrm.fleet.serving.working_folders import working_folder
tempfile.tempdir = sys.argv[1]
with working_folder("requests") as folder:
    (folder / "a").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_server_left_goes_and_what_another_uses_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with working_folder("requests") as used:
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
        assert len(list(tmp_path.iterdir())) == 2
        with working_folder("requests") as second:
            assert sorted(tmp_path.iterdir()) == sorted([used, second])
            (second / "a").write_bytes(b"x")
        assert list(tmp_path.iterdir()) == [used]
    assert list(tmp_path.iterdir()) == []
