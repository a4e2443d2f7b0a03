import io
import zipfile

import numpy as np
import pytest
from harness.served import serving

from geolrm.bench import fleet_serving
from geolrm.bench.fleet_serving import Answer, Load, memory_slope, overhead, rows_of, summary


def answer(request, seconds, refused=0):
    stages = {"read": 0.5, "encode": 0.2, "refine": 0.3, "total": 1.0}
    return Answer(request, seconds, stages, refused, 100.0, 9)


def test_the_queue_implies_what_its_runs_took():
    found = Load([answer(0, 1.0), answer(1, 3.0, 2), answer(2, 2.0)], ["3: x"], 9.0)
    lines = [
        {"event": "request", "request_id": name, "status": status, "stages": {}}
        for name, status in (("0-0", 200), ("1-0", 429), ("1-2", 200), ("1-2", 200))
    ]
    rows = summary(found, lines, queue=1)
    assert (rows["requests"], rows["failed"], rows["lost"], rows["answered twice"]) == (3, 1, 1, 1)
    assert (rows["refused at first"], rows["refusals"]) == (1, 2)
    assert rows["implied"] == 2.0
    assert rows["p95 over implied"] == pytest.approx(np.percentile([1, 3, 2], 95) / 2)
    assert overhead(found.answers[0]) == pytest.approx(0.5)


def test_rows_have_their_gates():
    alone = {"overhead": 0.3, "looking at masks": 0.25}
    under = {"requests": 200, "failed": 0, "lost": 0, "answered twice": 1, "refused at first": 9,
             "service": 1.5, "p95 over implied": 0.9}  # fmt: skip
    rows = rows_of({"alone": alone, "under load": under,
                    "memory": {"requests": 500, "MB a request": 0.01}})  # fmt: skip
    told = {what: (value, gate) for what, value, _, gate in rows}
    assert told["lost, or answered twice"] == (1, 0)
    assert told["memory over 500 requests"] == (0.01, 0.05)
    assert told["HTTP, decoding, encoding beside Engine.run"] == (
        pytest.approx(300),
        60,
    )  # the whole
    assert told["of that, looking at masks for doubts, as geolrm run"] == (pytest.approx(250), None)


def test_memory_that_grows_is_seen():
    assert memory_slope([0.0] * 20 + [1 + 0.25 * index for index in range(80)]) == pytest.approx(
        0.25
    )
    assert memory_slope(list(range(20)) + [20.0] * 80) == pytest.approx(0, abs=1e-9)


def test_clients_repeat_what_finds_the_queue_full(engine):
    import os

    body = fleet_serving.capture_of_views(6)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert len(archive.namelist()) == 7
    with serving(engine, queue=0) as address, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_serving, "QUERY", "/v1/reconstructions?refine_steps=0&seed={seed}")
        found = fleet_serving.load(address, os.getpid(), body, 3, clients=3)
    assert found.failures == [] and sorted(a.request for a in found.answers) == [0, 1, 2]
    assert sum(a.refused for a in found.answers) >= 1
    assert all(a.memory > 1 and a.stages["encode"] > 0 and a.size > 0 for a in found.answers)


def test_looking_at_masks_is_what_reading_takes_beside_decoding(monkeypatch):
    seconds, read = iter([0.5, 0.2]), []

    def timed(call, repeats):
        read.append((call(), repeats))
        return next(seconds)

    monkeypatch.setattr(fleet_serving, "best_seconds", timed)
    body = fleet_serving.capture_of_views(3)
    assert fleet_serving.looking_seconds(body, 4) == pytest.approx(0.3)
    (looked, first), (decoded, second) = read
    assert (first, second) == (4, 4)
    assert len(looked.capture.images) == len(decoded.images) == 3


@pytest.mark.parametrize(("measured", "code"), [(61.0, 1), (59.0, None)])
def test_a_missed_gate_is_an_exit_code(monkeypatch, capsys, measured, code):
    from geolrm.bench import fleet

    monkeypatch.setattr(fleet_serving, "serving_rows", lambda: [("overhead", measured, "ms", 60)])
    if code is None:
        fleet.main(["--serve"])
    else:
        with pytest.raises(SystemExit) as ended:
            fleet.main(["--serve"])
        assert ended.value.code == code
    assert ("**missed**" in capsys.readouterr().out) is (code is not None)
