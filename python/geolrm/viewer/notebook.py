"""Results in notebooks: the one-file page in a frame, and a picture where HTML is not trusted."""

from __future__ import annotations

import base64
import html
import io

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.gaussians.thinning import keep_largest
from geolrm.engine.scene import Scene
from geolrm.viewer.exhibit import Exhibit
from geolrm.viewer.framing import find_home
from geolrm.viewer.page import make_page, render_poster

MOST_SPLATS = 100_000  # in a frame: 2 MB of the notebook; those of most opacity and area
HEIGHT = 600  # pixels


def make_bundle(result: Gaussians | Scene) -> dict[str, str]:
    """Make what a notebook may show, by media type: HTML, a PNG in base64, and a line of text."""
    exhibit = _exhibit(result)
    return {
        "text/plain": repr(result),
        "text/html": _frame(exhibit),
        "image/png": base64.b64encode(_picture(exhibit)).decode(),
    }


def make_html(result: Gaussians | Scene) -> str:
    """Make the frame that holds the page."""
    return _frame(_exhibit(result))


def _exhibit(result: Gaussians | Scene) -> Exhibit:
    """Show at most ``MOST_SPLATS``, and say so."""
    result = result.numpy()
    gaussians = result if isinstance(result, Gaussians) else result.gaussians
    shown = keep_largest(gaussians, MOST_SPLATS)
    title = "Gaussians" if isinstance(result, Gaussians) else "Scene"
    if len(shown) < len(gaussians):
        title += f": {len(shown):,} of {len(gaussians):,}"
    if isinstance(result, Gaussians):
        return Exhibit(title, shown)
    made = Exhibit.from_scene(result, title)
    return Exhibit(title, shown, made.views, made.anchors, made.timings)


def _frame(exhibit: Exhibit) -> str:
    """Put the page into a frame that may run its script and nothing else."""
    page = make_page(exhibit).replace("&", "&amp;").replace('"', "&quot;")
    return (
        f'<iframe srcdoc="{page}" title="{html.escape(exhibit.title)}" sandbox="allow-scripts" '
        f'allow="fullscreen" style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
    )


def _picture(exhibit: Exhibit) -> bytes:
    """Render the view that the page opens with, as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    poster = render_poster(exhibit.gaussians, find_home(exhibit, "z").camera)
    Image.fromarray(poster).save(buffer, format="PNG")
    return buffer.getvalue()
