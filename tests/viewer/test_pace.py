"""What a frame costs: no work at rest, and fewer pixels while frames come too slowly."""

import pytest

SLOW, QUICK = 100, 10  # ms between frames


def frames(tab, interval, count=8):
    """Tell the pace of frames that follow each other, and read its pixel ratio then."""
    return tab.page.evaluate(
        """([interval, count]) => {
          const { stage } = geolrm;
          stage.pace.rest();
          for (let i = 0; i < count; i++) stage.pace.frame(1e6 + i * interval, true);
          return stage.renderer.getPixelRatio();
        }""",
        [interval, count],
    )


@pytest.mark.parametrize(
    ("interval", "count", "ratio"), [(SLOW, 4, 0.75), (SLOW, 12, 0.5), (QUICK, 12, 1)]
)
def test_slow_frames_get_fewer_pixels_and_rest_all_of_them(tab, interval, count, ratio):
    tab.page.evaluate("geolrm.settle()")
    assert frames(tab, interval, count) == ratio
    assert tab.page.evaluate("geolrm.layers.busy") is (ratio < 1)
    tab.page.evaluate("geolrm.stage.pace.frame(2e6, false)")  # nothing follows
    tab.page.evaluate("geolrm.settle()")
    assert tab.page.evaluate("geolrm.stage.renderer.getPixelRatio()") == 1
    assert tab.picture().shape == (400, 400, 4)


def test_frames_by_hand_do_not_count_as_slow(tab):
    """A key pressed now and then asks for single frames, however far apart."""
    tab.page.evaluate("geolrm.settle()")
    tab.page.evaluate("for (let i = 0; i < 9; i++) geolrm.stage.pace.frame(1e6 + 400 * i, false)")
    assert tab.page.evaluate("geolrm.stage.renderer.getPixelRatio()") == 1


def test_nothing_is_sorted_at_rest_or_while_a_sort_runs(tab):
    tab.page.evaluate("geolrm.settle()")
    sorted_at = tab.page.evaluate("geolrm.layers.spark.lastSortTime")
    tab.page.evaluate("() => { for (let i = 0; i < 5; i++) geolrm.stage.draw(); }")
    assert tab.page.evaluate("geolrm.layers.spark.lastSortTime") == sorted_at
    computed = tab.page.evaluate(
        """() => {
          const { stage, layers: { spark } } = geolrm;
          const seen = [];
          const update = spark.updateInternal;
          spark.updateInternal = function (...args) {
            seen.push(this.sorting);
            return update.apply(this, args);
          };
          for (let i = 0; i < 6; i++) { stage.turn(0.3, 0); stage.controls.update(); stage.draw(); }
          delete spark.updateInternal;
          return seen;
        }"""
    )
    assert computed == [False]  # the first turn starts a sort; the others wait for it
    tab.page.evaluate("geolrm.settle()")
    assert tab.page.evaluate("geolrm.layers.spark.lastSortTime") > sorted_at
