import json

import msgspec
import pytest

from geolrm.bench.quality.scores import (
    BASELINES,
    BaselineScores,
    ObjectScores,
    Report,
    Scores,
    as_baseline,
    average,
)


def one(psnr=None, cd=None, gaussians=5, seconds=1.0, lpips=msgspec.UNSET, groups=None):
    baselines = {name: BaselineScores(psnr=psnr, seconds=seconds) for name in BASELINES}
    return ObjectScores(psnr=psnr, cd=cd, gaussians=gaussians, seconds=seconds, lpips=lpips,
                        groups=groups or {}, baselines=baselines)  # fmt: skip


def test_means_leave_out_what_is_not_known():
    mean = average([one(20, 0.5, 7), one(10, None, 0)], 99)
    assert (mean.psnr, mean.cd, mean.cd2) == (15, 0.5, None)
    assert (mean.empty, mean.peak_bytes) == (1, 99)
    assert mean.baselines["white"].psnr == 15


def test_seconds_are_the_median_and_groups_their_own_means():
    objects = [one(groups={"top": t}, seconds=s) for t, s in ((1, 1), (3, 2), (5, 90))]
    mean = average(objects, None)
    assert mean.seconds == 2 and mean.groups == {"top": 3}
    assert mean.baselines["refined_hull"].seconds == 2


def test_a_baseline_has_the_same_scores_and_its_time():
    scores = Scores(psnr=20, groups={"top": 3})
    found = as_baseline(scores, 1.5)
    assert (found.psnr, found.groups, found.seconds) == (20, {"top": 3}, 1.5)
    assert found.lpips is msgspec.UNSET


@pytest.mark.parametrize(("values", "expected"), [((0.2, 0.4), 0.3), ((0.2, None), 0.2)])
def test_lpips_is_there_only_where_it_was_measured(values, expected):
    assert average([one(lpips=v) for v in values], None).lpips == pytest.approx(expected)
    assert average([one(), one()], None).lpips is msgspec.UNSET
    assert "lpips" not in json.loads(msgspec.json.encode(average([one()], None)))


def test_a_report_survives_json():
    protocol = {"inputs": {"2": [0, 1]}, "targets": {"top": [3]}, "grid": 8, "points": 5, "seed": 0}
    content = {"protocol": protocol, "model": None, "views": {}, "objects": {}}
    report = msgspec.convert(content, Report)
    assert msgspec.json.decode(report.to_json(), type=Report) == report
