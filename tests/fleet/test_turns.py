import threading
from contextlib import ExitStack

from geolrm.fleet.turns import Turns


def begin(turn, began):
    def work():
        with turn:
            began.set()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_many_share_and_one_is_alone():
    turns, began = Turns(), threading.Event()
    with turns.shared(), turns.shared():
        waiting = begin(turns.alone(), began)
        assert not began.wait(0.05)
    assert began.wait(10)
    waiting.join()
    others = threading.Event()
    with turns.alone():
        waiting = begin(turns.shared(), others)
        assert not others.wait(0.05)
    assert others.wait(10)
    waiting.join()


def test_who_waits_to_be_alone_comes_before_those_who_share():
    turns, alone, shared = Turns(), threading.Event(), threading.Event()
    with turns.shared():
        first = begin(turns.alone(), alone)
        while not turns._waiting:
            pass
        second = begin(turns.shared(), shared)
        assert not shared.wait(0.05) and not alone.is_set()
    assert alone.wait(10) and shared.wait(10)
    first.join()
    second.join()


def test_a_turn_may_be_given_back_elsewhere():
    turns, stack = Turns(), ExitStack()
    thread = threading.Thread(target=lambda: stack.enter_context(turns.alone()))
    thread.start()
    thread.join()
    stack.close()
    with turns.shared():
        pass
