"""What notebooks find on results; the page itself is tested with the viewer."""

import base64

from samples.gaussians import random_gaussians


def test_gaussians_offer_a_page_a_picture_and_a_line():
    scene = random_gaussians()
    bundle = scene._repr_mimebundle_(include=None, exclude=None)
    assert list(bundle) == ["text/plain", "text/html", "image/png"]
    assert bundle["text/plain"] == repr(scene) == "Gaussians(50, colors)"
    assert bundle["text/html"] == scene._repr_html_()
    assert base64.b64decode(bundle["image/png"])[:8] == b"\x89PNG\r\n\x1a\n"
