from types import SimpleNamespace

import pytest

from geolrm.bench.gpu.targets import ENGINE, GSPLAT, TARGETS, Target, Verdict, judge


@pytest.mark.parametrize(
    ("figure", "at_least", "word"),
    [
        (1.9, False, "met"), (2.0, False, "met"), (2.1, False, "missed"), (2.1, True, "met"),
        (1.9, True, "missed"), (None, False, "not measured"), (float("nan"), True, "not measured"),
    ],
)  # fmt: skip
def test_figures_and_their_bounds(figure, at_least, word):
    target = Target("a", "part", {}, "ms", 2.0, at_least)
    row = Verdict(target, figure).row()
    assert row[""] == word and row["bound"] == (">= 2" if at_least else "<= 2")


def test_of_several_rows_the_worst_counts():
    rows = [{"V": 21, "N": 16384, "p50 ms": ms, "peak GB": gb} for ms, gb in ((90, 3), (160, 2))]
    rows.append({"V": 6, "N": 8192, "p50 ms": 30})
    ratios = [{"scene": "ring and ball 524288", "px": 1024, "ratio": r} for r in (5, 2)]
    parts = [SimpleNamespace(name=ENGINE, rows=rows), SimpleNamespace(name=GSPLAT, rows=ratios)]
    found = {verdict.target.column: verdict for verdict in judge(parts)}
    by_title = {verdict.target.title: verdict for verdict in judge(parts)}
    assert by_title["whole engine, V=21 N=16k, ms"].figure == 160
    assert by_title["whole engine, V=6 N=8k, ms"].word == "met"
    assert found["peak GB"].figure == 3 and found["ratio"].figure == 2
    assert len(judge(parts)) == len(TARGETS)
