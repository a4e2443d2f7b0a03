import pytest

from geolrm.engine.captures.diagnostics import diagnostic


@pytest.mark.parametrize(
    ("views", "total", "text"),
    [
        ([3], 12, "view 3"),
        ([0], 1, "view 0"),
        ([0, 4, 7], 12, "views 0, 4 and 7"),
        (range(12), 12, "all 12 views"),
        (range(8), 30, "views 0, 1, 2, 3, 4, 5, 6 and 7"),
        (range(28), 30, "views 0, 1, 2, 3, 4, 5, 6, 7 and 20 more"),
    ],
)
def test_views_are_named(views, total, text):
    assert diagnostic.name_views(views, total) == text


def test_points_are_short_and_have_no_negative_zero():
    assert diagnostic.name_point([0.1, 2, -1e-9]) == "(0.1, 2, 0)"
    assert diagnostic.name_point([1 / 3, -3, 1e5]) == "(0.333, -3, 1e+05)"
