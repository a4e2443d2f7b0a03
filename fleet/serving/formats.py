"""The forms in which a reconstruction is answered, and which of them a client accepts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geolrm.engine.formats.splat_files import encode
from geolrm.engine.scene import Scene
from geolrm.fleet.serving.refusals import Refusal

Format = Literal["ply", "spz", "glb", "html"]
MEDIA_TYPES: dict[Format, str] = {
    "ply": "application/x-ply",
    "spz": "application/x-spz",
    "glb": "model/gltf-binary",
    "html": "text/html",
}
EVENT_STREAM = "text/event-stream"
LONGEST_ACCEPT = 1000  # characters of it that are read


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants back."""

    format: Format
    events: bool  # the stages as they come, and a link at the end


def negotiate(accept: str | None, asked: Format | None = None) -> Wish:
    """Choose what a client accepts: PLY where anything will do.

    Args:
        accept: The header.
        asked: A format that was named in the query, which comes before the header's.

    Raises:
        Refusal: Of status 406: nothing that is accepted is made here.
    """
    ranges = _ranges(accept or "*/*")
    events = any(media == EVENT_STREAM for media, _ in ranges)
    best, found = 0.0, asked
    for format, media_type in MEDIA_TYPES.items():
        quality = _quality(ranges, media_type)
        if asked is None and quality > best:
            best, found = quality, format
    if found is None and events:
        found = "ply"
    if found is None or (asked is not None and not events and
                         not _quality(ranges, MEDIA_TYPES[asked])):  # fmt: skip
        raise Refusal(
            406,
            f"nothing that the header Accept names is made here; ask for one of "
            f"{', '.join([*MEDIA_TYPES.values(), EVENT_STREAM])}",
        )
    return Wish(found, events)


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for part in accept[:LONGEST_ACCEPT].split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            found.append((media, min(max(float(quality), 0.0), 1.0)))
        except ValueError:
            found.append((media, 0.0))
    return [(media, quality) for media, quality in found if quality > 0]


def _quality(ranges: Sequence[tuple[str, float]], media_type: str) -> float:
    """Return how much a type is wanted; what names it exactly is a little dearer."""
    whole, kind = media_type, f"{media_type.split('/')[0]}/*"
    weights = {whole: 1e-3, kind: 0.0, "*/*": -1e-3}
    return max((q + weights[media] for media, q in ranges if media in weights), default=0.0)


def write(
    scene: Scene, format: Format, names: Sequence[str] | None = None, **options: Any
) -> bytes:
    """Encode a scene; ``names`` are those of its views, for a page, ``options`` those of a file."""
    if format != "html":
        return encode(scene.gaussians, f".{format}", **options)
    from geolrm.viewer import Exhibit
    from geolrm.viewer.page import make_page

    return make_page(Exhibit.from_scene(scene, "Reconstruction", names)).encode()
