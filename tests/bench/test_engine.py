import argparse
from types import SimpleNamespace

from geolrm.bench import engine as bench


def test_the_same_seed_gives_the_same_model_and_views_are_the_captures():
    chosen, views = bench.make_views(56, 3)
    assert len(chosen) == len(views) == 3 and views.images.shape == (3, 3, 56, 56)


def test_a_live_update_is_timed_from_its_last_view(monkeypatch):
    now = iter([10.0, 12.0, 20.0, 21.0, 30.0, 36.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(now))
    added = []
    live = SimpleNamespace(add=lambda *given: added.append(given), run=lambda **_: None)
    chosen, _ = bench.make_views(56, 2)
    options = argparse.Namespace(repeats=3, tokens=8)
    seconds = bench.live_update(SimpleNamespace(live=lambda: live), chosen, options)
    assert seconds == 2.0 and len(added) == 6
