"""Run the commands in processes of their own, or here where that is enough."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def call(*arguments, cwd=None, env=None):
    """The finished process; ``env`` is added to the environment."""
    command = [str(BIN / arguments[0]), *map(str, arguments[1:])]
    env = None if env is None else {**os.environ, **env}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=600)


def call_here(program, *arguments, cwd="."):
    """As :func:`call`, but in this process: without the start of Python and its imports."""
    from geolrm.commands.console import run_app
    from geolrm.engine.system.exit_codes import one_sentence_errors
    from geolrm.engine.system.user_warnings import show_warnings

    names = {"geolrm": "main", "geolrm-export": "export", "geolrm-train": "train"}
    module = importlib.import_module(f"geolrm.commands.{names[program]}")
    if program == "geolrm" and not module.app.registered_commands:
        module.register()
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = signal.getsignal(signal.SIGINT)
    try:
        redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with (
            contextlib.chdir(cwd),
            redirected[0],
            redirected[1],
            one_sentence_errors(),
            show_warnings(),
        ):
            run_app(module.app, [str(argument) for argument in arguments], program)
    except SystemExit as left:
        code = left.code or 0
    finally:
        signal.signal(signal.SIGINT, before)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def assert_refused(done, message, code=2):
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 700
