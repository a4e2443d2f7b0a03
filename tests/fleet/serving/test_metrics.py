from geolrm.fleet.serving.metrics import Metrics


def test_figures_are_those_of_one_application():
    metrics, other = Metrics(), Metrics()
    metrics.ran({"encode": 0.2, "total": 0.5}, anchors=400)
    metrics.ran({"encode": 0.4, "total": 0.6}, anchors=5)
    assert [metrics.opened_live(), metrics.opened_live()] == [1, 2]
    metrics.closed_live()
    lines = metrics.text().decode().splitlines()
    for line in (
        'geolrm_stage_seconds_count{stage="encode"} 2.0',
        'geolrm_stage_seconds_sum{stage="total"} 1.1',
        'geolrm_anchors_bucket{le="300.0"} 1.0',
        "geolrm_live_captures 1.0",
    ):
        assert line in lines
    assert "encode" not in other.text().decode()
