"""The child process by itself; its jobs are tested with their modules."""

import json
import subprocess

import pytest

from geolrm import GeoLRMError
from geolrm.engine.photographs.child_process import COMMAND, run_job
from geolrm.engine.photographs.mapping_job import JOBS


def test_the_jobs_are_these():
    assert set(JOBS) == {"extract", "strongest", "forget", "match", "build", "undistort"}


def test_a_job_that_is_none_comes_back(tmp_path):
    with pytest.raises(GeoLRMError, match=r"COLMAP could not dance: 'dance'; see .*log"):
        run_job("dance", tmp_path / "log")


def test_standard_output_holds_answers_alone():
    done = subprocess.run(COMMAND, input='{"job": "undistort", "images": []}\n',
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers in ([{"result": []}], [])  # none where standard input ended first
