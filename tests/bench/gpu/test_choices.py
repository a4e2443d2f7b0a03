import pytest

from geolrm.bench.gpu.choices import SETTINGS, Choices, parse_settings
from geolrm.engine.errors import InputError


def test_the_settings_of_the_targets_come_first():
    assert SETTINGS[:2] == ((21, 16384), (6, 8192))
    assert len(SETTINGS) == len(set(SETTINGS)) == 5 * 3 + 1
    assert parse_settings(None) == SETTINGS


def test_settings_are_read_in_their_order():
    assert parse_settings("6x8192, 21x16384") == ((6, 8192), (21, 16384))


@pytest.mark.parametrize(
    "text", ["", "6", "6x", "0x5", "6x8192,", "6x8192,6x8192", "6X8192", "-6x1"]
)
def test_other_settings_are_refused(text):
    with pytest.raises(InputError) as caught:
        parse_settings(text)
    assert str(caught.value) == (
        f"--settings is {text!r}; give views x anchors, each once, with commas between, such as "
        "21x16384,6x8192"
    )


def test_a_part_is_given_what_was_chosen():
    words = Choices(((21, 16384), (6, 8192)), 3.5).arguments()
    assert words == ["--settings", "21x16384,6x8192", "--seconds", "3.5"]
    assert parse_settings(words[1]) == ((21, 16384), (6, 8192))


@pytest.mark.parametrize("name", ["seconds", "limit"])
def test_times_are_positive(name):
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=f"^--{name} is {wrong:g}; it must be more than 0$"):
            Choices(**{name: wrong})
