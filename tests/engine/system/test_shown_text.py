import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.system.shown_text import shown

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 'text', with [markup] and \\ and $", "plain 'text', with [markup] and \\ and $"),
        ("Löwe 狮子 🦁", "Löwe 狮子 🦁"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the same begun by one byte
        ("a\nerror: b\r\tc\x7f\x08", r"a\nerror: b\r\tc\x7f\x08"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066a\u2069\u200b\ufeff", r"\u2066a\u2069\u200b\ufeff"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("\U000e0041", r"\U000e0041"),
        ("a\u200db", "a\u200db"),
    ],
)
def test_what_is_shown(text, expected):
    assert shown(text) == expected


@given(ANY_TEXT)
def test_whatever_it_was_it_is_one_line_that_can_be_printed(text):
    found = shown(text)
    found.encode()  # no surrogates
    assert len(found.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
    assert shown(found) == found
