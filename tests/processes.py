"""Run the commands in processes of their own."""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def call(*arguments, cwd=None):
    command = [str(BIN / arguments[0]), *map(str, arguments[1:])]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=600)


def assert_refused(done, message, code=2):
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 700
