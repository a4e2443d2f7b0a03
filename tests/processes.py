"""Run the commands in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def call(*arguments, cwd=None, env=None):
    """The finished process; ``env`` is added to the environment."""
    command = [str(BIN / arguments[0]), *map(str, arguments[1:])]
    env = None if env is None else {**os.environ, **env}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=600)


def assert_refused(done, message, code=2):
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 700
