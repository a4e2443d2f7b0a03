import json
import logging

import pytest

from geolrm import InputError
from geolrm.engine.system.user_warnings import warn
from geolrm.fleet.serving.logs import LOGGER, REQUEST, heard_warnings, log, set_up_logs


@pytest.fixture(autouse=True)
def logs_as_before():
    handlers, level, propagate = LOGGER.handlers, LOGGER.level, LOGGER.propagate
    yield
    LOGGER.handlers, LOGGER.propagate = handlers, propagate
    LOGGER.setLevel(level)


def test_a_line_is_one_object_that_no_name_breaks(capsys):
    set_up_logs("info")
    token = REQUEST.set("id-1")
    log(logging.INFO, "request", path="/\u202e\x1b[2J\n{}", status=200)
    log(logging.DEBUG, "hidden")
    REQUEST.reset(token)
    try:
        raise KeyError("x")
    except KeyError as error:
        LOGGER.error("fault", exc_info=error)
    lines = capsys.readouterr().err.splitlines()
    first, second = map(json.loads, lines)
    assert first["event"] == "request" and first["request_id"] == "id-1"
    assert first["level"] == "info" and first["path"] == "/\u202e\x1b[2J\n{}"
    assert lines[0].isascii() and first["time"].endswith("Z") and len(first["time"]) == 24
    assert "KeyError: 'x'" in second["traceback"] and "request_id" not in second


def test_warnings_are_lines_and_heard_by_the_request_that_caused_them(capsys):
    set_up_logs("warning")
    with heard_warnings("id-2") as heard:
        warn("dark\x1b")
        warn("dark\x1b")
    warn("alone")
    assert heard == [r"dark\x1b"] * 2
    printed = capsys.readouterr().err.splitlines()
    events = [json.loads(line) for line in printed if line.startswith("{")]
    told = [(event["level"], event["event"], event.get("request_id")) for event in events]
    assert told == [
        ("warning", r"dark\x1b", "id-2"), ("warning", r"dark\x1b", "id-2"),
        ("warning", "alone", None),
    ]  # fmt: skip


def test_there_are_four_levels():
    with pytest.raises(InputError, match="--log-level is 'loud'; it must be one of debug, info, w"):
        set_up_logs("loud")
