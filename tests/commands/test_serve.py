import importlib.metadata
import subprocess
import sys

import pytest
from harness.processes import assert_refused, call_here

from geolrm import InputError
from geolrm.commands.serve import parse_replicas


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "70000"], "error: Invalid value for '--port': Input should be less"),
        (["--token-file", "none"], "error: the token file 'none' cannot be read: No such file or"),
        (["--model", "none", "--port", "0"], "error: no bundle at 'none'"),
        (["--log-level", "loud"], "error: --log-level is 'loud'; it must be one of debug, info"),
        (["--time-limit", "0"], "error: limits.seconds is 0.0: Input should be greater than 0"),
        (
            ["--ray", "--replicas", "3:2"],
            "error: --replicas is '3:2'; give a number such as 2, or a range",
        ),
        (["--address", "auto"], "error: --address was given without --ray; give both, or neither"),
        (["--replicas", "4"], "error: --replicas was given without --ray; give both, or neither"),
        (["--cpus", "0"], "error: --cpus was given without --ray; give both, or neither"),
        (["--gpus", "1"], "error: --gpus was given without --ray; give both, or neither"),
        (["--ray", "--gpus", "1", "--device", "1"], "error: device is 1 and gpus is 1: Ray shows "),
    ],
)
def test_a_wrong_start_is_one_sentence_and_exit_code_2(tmp_path, arguments, sentence):
    done = call_here("geolrm", "serve", *arguments, cwd=tmp_path)
    assert_refused(done, sentence)
    assert done.stderr.count("error: ") == 1 and done.stdout == ""


def test_a_taken_port_is_exit_code_2(tmp_path):
    from geolrm.fleet.serving.server import listen

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = call_here("geolrm", "serve", "--port", port, cwd=tmp_path)
    assert_refused(done, f"error: cannot listen on 127.0.0.1 port {port}: Address already in use")


def test_without_the_extra_it_is_one_sentence(monkeypatch):
    def version(name, found=importlib.metadata.version):
        if name == "fastapi":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert_refused(
        call_here("geolrm", "serve"),
        "error: geolrm serve needs fastapi, which is not installed; run: pip install 'geolrm[fleet",
        code=1,
    )


def test_replicas_are_a_number_or_a_range():
    assert (parse_replicas("2"), parse_replicas("1:8")) == ((2, 2), (1, 8))
    for text in ("", "0", "a", "1:", "2:1", "1:2:3"):
        if text == "1:":
            assert parse_replicas(text) == (1, 1)
            continue
        with pytest.raises(InputError, match="--replicas is"):
            parse_replicas(text)


def test_nothing_of_it_is_loaded_before_it_is_asked_for():
    code = """
import sys, geolrm
from geolrm.commands.main import register
register()
heavy = {"fastapi", "pydantic", "prometheus_client", "ray", "starlette", "uvicorn", "websockets"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
