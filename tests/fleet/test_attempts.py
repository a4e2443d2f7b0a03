import pytest

from geolrm.fleet.attempts import ENDED, MOST_ATTEMPTS, Attempts
from geolrm.fleet.destination import Destination


@pytest.fixture
def output(tmp_path):
    destination = Destination(str(tmp_path / "out"))
    destination.prepare()
    return destination


def test_attempts_are_counted_where_the_next_worker_sees_them(output):
    one, other = Attempts(output, "call"), Attempts(output, "call")
    assert one.count("shoe") == 0 and not one.are_open("shoe")
    one.mark("shoe", 2)
    assert other.count("shoe") == 2 and other.are_open("shoe")
    other.clear("shoe")
    assert one.count("shoe") == 0 and not one.are_open("shoe")


def test_attempts_of_another_call_are_not_counted(output):
    Attempts(output, "earlier").mark("shoe", 2)
    later = Attempts(output, "later")
    assert later.count("shoe") == 0 and later.are_open("shoe")


@pytest.mark.parametrize("text", ["", "call", "call x", "call -1", "call 1 2"])
def test_a_damaged_note_counts_nothing(output, text):
    output.put_bytes(".attempts/shoe", text.encode())
    assert Attempts(output, "call").count("shoe") == 0


def test_who_ended_its_worker_three_times_is_told_what_to_do():
    assert MOST_ATTEMPTS == 3 and ENDED.startswith("its worker ended 3 times while it ran, most ")
