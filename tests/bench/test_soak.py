import json
import random
import subprocess
import sys

import numpy as np
import pytest

from geolrm.bench import soak
from geolrm.bench.soak import Uses, faults, growth


def samples(slope, name="bytes", minutes=60, noise=0.0):
    """What is held, by the minute; another second half than first. Every third moment has noise."""
    held = {"bytes": 3e8, "files": 9.0, "threads": 30.0}
    return [
        (
            60.0 * m,
            {
                **held,
                name: held[name] + (1e9 if m < minutes / 2 else slope * m / 60) + noise * (m % 3),
            },
        )
        for m in range(minutes + 1)
    ]


def result(**changed):
    whole = {"uses": 4, "errors": [], "digests": {"run": ["a"]}, "samples": samples(0.0)}
    return {**whole, **changed}


def test_growth_is_of_the_second_half():
    found = growth(samples(60e6))["bytes"]
    assert found["slope"] == pytest.approx(60e6, rel=0.02) and found["grew"] == pytest.approx(15e6)
    assert growth(samples(60e6, minutes=30))["bytes"]["grew"] == 0  # too few to tell
    noisy = growth(samples(0.0, minutes=300, noise=1e8))["bytes"]
    assert noisy == pytest.approx({"least": 3e8, "slope": 0, "grew": 0}, abs=1e-3)
    assert growth(samples(0.0))["threads"] == pytest.approx(
        {"least": 30, "slope": 0, "grew": 0}, abs=1e-6
    )


def test_nothing_is_wrong_where_bits_agree_and_nothing_grows():
    assert faults([result(), result()]) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"digests": {"run": ["a", "b"]}}, "run gave 2 results that differ"),
        ({"digests": {"run": ["b"]}}, "run gave 2 results that differ"),
        ({"errors": ["ValueError: no"]}, "ValueError: no"),
        (
            {"samples": samples(100e6)},
            "process 1 grew by 25000000 bytes in its last quarter; at most 20000000 are expected",
        ),
        (
            {"samples": samples(40.0, "files")},
            "process 1 grew by 10 files in its last quarter; at most 2 are expected",
        ),
    ],
)
def test_what_is_wrong_is_said(changed, sentence):
    assert faults([result(), result(**changed)]) == [sentence]


def test_every_use_gives_the_same_bits_again(tmp_path):
    """A live capture and an engine of its own give those of a run."""
    uses = Uses(tmp_path)
    seen = {}
    for use in (uses.live, uses.open, uses.run, uses.capture, uses.render):
        for _ in range(2):
            name, found = use(random.Random(1))
            seen.setdefault(name, set()).add(found)
    assert len(seen) >= 3 and all(len(found) == 1 for found in seen.values())


def test_a_short_soak_ends_well():
    command = [sys.executable, "-m", "geolrm.bench.soak", "--minutes", "0.02", "--processes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("process 0: ")
    assert done.stdout.endswith("the same bits everywhere, and nothing grew\n")


def test_it_ends_with_1_where_something_is_wrong(monkeypatch, capsys):
    class Process:
        returncode = 0

        def __init__(self, *_, **__):
            pass

        def communicate(self):
            return json.dumps(result(errors=["ValueError: no"])), None

    monkeypatch.setattr(soak.subprocess, "Popen", Process)
    with pytest.raises(SystemExit) as end:
        soak.main(["--minutes", "1", "--processes", "1"])
    assert end.value.code == 1 and capsys.readouterr().out.endswith("ValueError: no\n")


def test_digests_are_of_bits():
    zero = np.zeros(2, np.float32)
    assert soak.digest(zero) != soak.digest(-zero) and soak.digest(zero) == soak.digest(+zero)
