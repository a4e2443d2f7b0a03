from datetime import UTC, datetime

import pytest
from harness.processes import assert_refused, call_here

from geolrm import GeoLRMError, load_capture
from geolrm.bench import fleet
from geolrm.bench.fleet import Row, batch, first_file, kill_table, loops, span_of, table
from geolrm.bench.fleet_kills import Kill
from geolrm.engine.system.exit_codes import FAILED as FAILED_CODE
from geolrm.fleet.records import DONE, FAILED, Record


def test_captures_are_all_different(tmp_path, monkeypatch):
    monkeypatch.setattr(fleet, "NAMES", ("banana",))
    paths = fleet.write_captures(tmp_path, 2)
    assert [path.name for path in paths] == ["c00", "c01"]
    first, second = map(load_capture, paths)
    assert len(first) == len(second) == 8 and first.names != second.names


def test_a_span_is_from_the_first_start_to_the_last_end():
    def record(status, end, total):
        finished = datetime.fromtimestamp(end, UTC).isoformat()
        return Record("a", "", status, seconds={"total": total}, finished=finished)

    records = [record(DONE, 110, 8), record(DONE, 120, 19), record(FAILED, 500, 499)]
    assert span_of(records) == (101, 120)


def test_speeds_are_measured_in_turns():
    calls, speeds = [], iter([2.0, 1.0, 3.0, 1.0, 1.0, 4.0])

    def one(name):
        def speed():
            calls.append(name)
            return next(speeds)

        return speed

    assert fleet._ratio(one("ours"), one("peer"), 3) == pytest.approx(3)
    assert calls == ["peer", "ours", "ours", "peer", "peer", "ours"]


def test_tables_say_what_is_missed():
    rows = [Row("a", 0.8, "x", 0.9), Row("b", 0.5, "s", 1, True)]
    assert table(rows)[2:] == [
        "| a | 0.80 x **missed** | at least 0.9 x |", "| b | 0.50 s | at most 1 s |"
    ]  # fmt: skip
    assert kill_table([Kill("node", 3, results=24, identical=23, twice=1)])[2] == (
        "| node | 3 | 24 | 23 | 0 | 1 |"
    )


def test_a_loop_and_a_batch_do_the_same(tmp_path):
    captures = fleet.write_captures(tmp_path / "captures", 1)
    assert loops(captures, tmp_path / "loop", 0, 1) > 0.05
    speed, began = batch(tmp_path / "captures", tmp_path / "out", 0, "--local", "--threads", "1")
    assert speed > 0.05 and began > 0.1
    for path in captures:
        ours = tmp_path / "out" / "captures" / f"{path.name}.ply"
        assert ours.read_bytes() == (tmp_path / "loop" / f"{path.name}.ply").read_bytes()


def test_what_ends_without_a_result_is_one_sentence(tmp_path):
    with pytest.raises(GeoLRMError, match=r"^geolrm run ended without '.*a.ply'; run it alone$"):
        first_file(["run", "none", "-o", "a.ply"], tmp_path / "a.ply")
    with pytest.raises(GeoLRMError, match=r"^the batch failed: error: '.*none' is not there"):
        batch(tmp_path / "none", tmp_path / "out", 0, "--local")


def test_what_is_out_of_range_is_refused():
    done = call_here("geolrm", "bench", "fleet", "--captures", 2)
    assert_refused(done, "--captures must be 3 or more, --repeats 1, --refine and --kills 0")


@pytest.mark.parametrize(("value", "code"), [(0.9, 0), (0.7, FAILED_CODE)])
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_a_gate_that_is_missed_is_the_exit_code(monkeypatch, capsys, value, code, json_too):
    rows = [Row("a rate", value, "of the loop's", 0.8), Row("seconds", 9, "s")]
    monkeypatch.setattr(fleet, "measure", lambda *_: rows)
    ended = 0
    try:
        fleet.main(["--no-ray", *json_too])
    except SystemExit as error:
        ended = error.code
    assert ended == code and "a rate" in capsys.readouterr().out
