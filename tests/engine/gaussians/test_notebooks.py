"""What notebooks find on results; the page itself is tested with the viewer."""

from samples.gaussians import random_gaussians

from geolrm.viewer import notebook


def test_gaussians_offer_a_page_and_a_picture():
    gaussians = random_gaussians()
    assert gaussians._repr_html_() == notebook.make_html(gaussians)
    assert gaussians._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
