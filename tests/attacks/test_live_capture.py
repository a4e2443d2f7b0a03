"""A live capture under every order of calls, and under calls from many threads at once.

Whatever was added, replaced and removed before: a run is that of :meth:`Engine.run` with what is
there, to the bit.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from geolrm import InputError

FIELDS = ("means", "opacities", "scales", "quats", "colors")
MOST = 4  # views, so that the limit is met often


class FewViews:
    """An engine whose bundle takes few views."""

    def __init__(self, engine, most=MOST):
        self._engine = engine
        views = type("Range", (), {"max": most})
        size = engine.manifest.image_size
        self.manifest = type("Manifest", (), {"views": views, "image_size": size})

    def __getattr__(self, name):
        return getattr(self._engine, name)


def live_capture(engine, most=MOST):
    from geolrm.engine.live import LiveCapture

    return LiveCapture(FewViews(engine, most))


def assert_identical(a, b):
    np.testing.assert_array_equal(a.anchors, b.anchors)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a.gaussians, field), getattr(b.gaussians, field))


@pytest.fixture
def machine(engine, shoe_views):
    images, cameras = shoe_views
    scenes = {}

    def expected(shown):
        if shown not in scenes:
            chosen = list(shown)
            scenes[shown] = engine.run(
                images[chosen], cameras[chosen], seed=3, max_tokens=16, refine_steps=0
            )
        return scenes[shown]

    class Machine(RuleBasedStateMachine):
        numbers = Bundle("numbers")

        @initialize()
        def start(self):
            self.live, self.model, self.given = live_capture(engine), {}, set()

        @rule(target=numbers, shown=st.integers(0, len(images) - 1))
        def add(self, shown):
            arguments = images[shown], cameras[[shown]]
            if len(self.model) == MOST:
                with pytest.raises(InputError, match="has 4 views, the most this bundle takes"):
                    self.live.add(*arguments)
                return -1
            number = self.live.add(*arguments)
            assert number not in self.given
            self.given.add(number)
            self.model[number] = shown
            return number

        @rule(number=numbers, shown=st.integers(0, len(images) - 1))
        def replace(self, number, shown):
            arguments = number, images[shown], cameras[[shown]]
            if number in self.model:
                self.live.replace(*arguments)
                self.model[number] = shown
            else:
                with pytest.raises(InputError, match=f"this capture has no view {number}; its"):
                    self.live.replace(*arguments)

        @rule(number=consumes(numbers))
        def remove(self, number):
            if number in self.model:
                self.live.remove(number)
                del self.model[number]
            with pytest.raises(InputError, match=f"this capture has no view {number}; its"):
                self.live.remove(number)

        @rule(number=numbers)
        def fail_to_replace(self, number):
            """The old view stays."""
            broken = np.zeros((0, 8, 3), np.uint8), cameras[[0]]
            with pytest.raises(InputError, match="8 x 0 pixels|has no view"):
                self.live.replace(number, *broken)
            if len(self.model) < MOST:
                with pytest.raises(InputError, match="8 x 0 pixels"):
                    self.live.add(*broken)

        @precondition(lambda self: self.model)
        @rule()
        def run_it(self):
            scene = self.live.run(seed=3, max_tokens=16, refine_steps=0)
            assert_identical(scene, expected(tuple(self.model.values())))

        @precondition(lambda self: not self.model)
        @rule()
        def run_nothing(self):
            with pytest.raises(InputError, match="add at least 1 view before run"):
                self.live.run()

        @invariant()
        def agrees(self):
            if hasattr(self, "live"):
                assert self.live.numbers == tuple(self.model)
                assert len(self.live) == len(self.model) <= MOST

    return Machine


def test_every_order_of_calls(machine):
    case = machine.TestCase()
    case.settings = settings(max_examples=10, stateful_step_count=15, deadline=None)
    case.runTest()


def test_threads_that_add_at_once_never_exceed_the_limit(engine, shoe_views):
    """29 of 24 views were there, and then every run was refused."""
    images, cameras = shoe_views
    for _ in range(3):
        live, together = live_capture(engine), threading.Barrier(12)

        def add(index, live=live, together=together):
            together.wait()
            try:
                return live.add(images[index % 4], cameras[[index % 4]])
            except InputError as error:
                assert "this capture has 4 views, the most this bundle takes" in str(error)
                return None

        with ThreadPoolExecutor(12) as pool:
            added = list(pool.map(add, range(12)))
        assert len(live) == MOST and sorted(n for n in added if n is not None) == [0, 1, 2, 3]
        shown = [next(i for i, n in enumerate(added) if n == number) % 4 for number in live.numbers]
        scene = live.run(seed=3, max_tokens=16, refine_steps=0)
        expected = engine.run(images[shown], cameras[shown], seed=3, max_tokens=16, refine_steps=0)
        assert_identical(scene, expected)


def test_runs_amid_changes_see_a_whole_capture(engine, shoe_views):
    """Every scene is one that some set of views gives, never a mixture."""
    images, cameras = shoe_views
    options = {"seed": 3, "max_tokens": 16, "refine_steps": 0}
    expected = [engine.run(images[[0, k]], cameras[[0, k]], **options) for k in range(4)]
    live, ended = live_capture(engine), threading.Event()
    live.add(images[0], cameras[[0]])
    number = live.add(images[1], cameras[[1]])

    def change():
        for index in (2, 3, 1, 0, 2, 3):
            live.replace(number, images[index], cameras[[index]])
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        scenes = [live.run(**options)]
        while not ended.is_set():
            scenes.append(live.run(**options))
        changing.result()
    for scene in scenes:
        same = [np.array_equal(scene.gaussians.means, other.gaussians.means) for other in expected]
        assert sum(same) == 1
        assert_identical(scene, expected[same.index(True)])


def test_numbers_are_never_given_twice(engine, shoe_views):
    images, cameras = shoe_views
    live = live_capture(engine)
    first = live.add(images[0], cameras[[0]])
    live.remove(first)
    second = live.add(images[0], cameras[[0]])
    assert (first, second) == (0, 1) and live.numbers == (1,)


def test_numbers_of_numpy_are_numbers_and_truths_are_none(engine, shoe_views):
    images, cameras = shoe_views
    live = live_capture(engine)
    for index in range(3):
        live.add(images[index], cameras[[index]])
    with pytest.raises(InputError, match="this capture has no view True; its views are 0, 1, 2: "):
        live.remove(True)
    live.remove(np.int64(1))
    assert live.numbers == (0, 2)
