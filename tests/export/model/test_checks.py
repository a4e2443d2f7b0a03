from dataclasses import dataclass

import pytest

from geolrm import InputError
from geolrm.export.model.checks import differences, require, require_numbers


@dataclass
class Record:
    layers: int = 1
    rate: float = 0.5
    shift: float = -2.0
    on: bool = False
    name: str = ""


def check(**values):
    require_numbers(Record(**values), zero=["rate"], signed=["shift"])


def test_a_condition_that_does_not_hold_is_an_error():
    require(True, "not shown")
    with pytest.raises(InputError, match="^dim 5 must be even$"):
        require(False, "dim 5 must be even")


@pytest.mark.parametrize("values", [{}, {"rate": 0}, {"shift": float("nan")}, {"on": True}])
def test_numbers_that_may_be(values):
    check(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 0}, "layers is 0; it must be a finite number, above 0"),
        ({"layers": -1}, "layers is -1; it must be a finite number, above 0"),
        ({"rate": -0.5}, "rate is -0.5; it must be a finite number, 0 or more"),
        ({"rate": float("inf")}, "rate is inf; it must be a finite number, 0 or more"),
        ({"layers": float("nan")}, "layers is nan; it must be a finite number, above 0"),
    ],
)
def test_numbers_that_may_not_be_are_named(values, message):
    with pytest.raises(InputError) as caught:
        check(**values)
    assert str(caught.value) == message


def test_differences_are_named_by_their_path():
    one = {"a": 1, "b": {"c": 2, "d": 3}}
    assert differences(one, one) == []
    assert differences(one, {"a": 1, "b": {"c": 5, "d": 3}, "e": 0}) == ["b.c", "e"]
