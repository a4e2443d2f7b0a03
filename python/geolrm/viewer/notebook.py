"""Results in notebooks: the one-file page in a frame, and a picture where frames are no use."""

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

MOST_SPLATS = 100_000  # in a frame: 4 to 7 MB of the notebook; those of most opacity and area
HEIGHT = 600  # pixels


def make_html(result: Gaussians | Scene) -> str:
    """Make the page in a frame, over a picture of it.

    Where a notebook is not trusted, frames are taken out of HTML and pictures are left in.
    """
    exhibit = _exhibit(result)
    picture = base64.b64encode(_picture(exhibit)).decode()
    title = html.escape(exhibit.title)
    return (
        f'<div style="position: relative; height: {HEIGHT}px">'
        f'<img alt="{title}" src="data:image/png;base64,{picture}" style="height: 100%">'
        f"{_frame(exhibit)}</div>"
    )


def make_picture(result: Gaussians | Scene) -> bytes:
    """Render the view that the page opens with, as a PNG, for what shows no HTML."""
    return _picture(_exhibit(result))


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
    """Put the page into a frame that may run its script and save pictures, and nothing else."""
    page = make_page(exhibit).replace("&", "&amp;").replace('"', "&quot;")
    return (
        f'<iframe srcdoc="{page}" title="{html.escape(exhibit.title)}" '
        'sandbox="allow-scripts allow-downloads" allow="fullscreen" '
        'style="position: absolute; top: 0; left: 0; width: 100%; height: 100%; border: 0">'
        "</iframe>"
    )


def _picture(exhibit: Exhibit) -> bytes:
    """Render the view that the page opens with, as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    poster = render_poster(exhibit.gaussians, find_home(exhibit, "z").camera)
    Image.fromarray(poster).save(buffer, format="PNG")
    return buffer.getvalue()
