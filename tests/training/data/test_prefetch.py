import threading

import pytest

from geolrm.training.data.prefetch import Prefetched


class Source:
    def __init__(self):
        self.asked, self.lock = [], threading.Lock()

    def __getitem__(self, number):
        with self.lock:
            self.asked.append(number)
        if number == 7:
            raise ValueError("seven")
        return number * number


def test_examples_are_made_ahead_each_once():
    source = Source()
    ahead = Prefetched(source, workers=1, stride=2)
    assert [ahead[number] for number in (0, 2, 4)] == [0, 4, 16]
    ahead.close()
    assert sorted(set(source.asked)) == sorted(source.asked)
    assert set(source.asked) <= {0, 2, 4, 6, 8}  # two workers' worth ahead


def test_an_error_comes_when_its_example_is_asked_for():
    ahead = Prefetched(Source(), workers=2)
    assert ahead[5] == 25
    with pytest.raises(ValueError, match="seven"):
        ahead[7]
    ahead.close()
