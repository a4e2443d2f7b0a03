import pytest

from geolrm.fleet.serving.formats import Wish, negotiate
from geolrm.fleet.serving.refusals import Refusal


@pytest.mark.parametrize(
    ("accept", "asked", "wish"),
    [
        (None, None, Wish("ply", False)),
        ("*/*", None, Wish("ply", False)),
        ("text/html,application/xhtml+xml,*/*;q=0.8", None, Wish("html", False)),
        ("application/*;q=0.4, model/gltf-binary;q=0.9", None, Wish("glb", False)),
        ("application/x-spz, */*", None, Wish("spz", False)),
        ("application/x-spz;q=0, */*", None, Wish("ply", False)),
        ("APPLICATION/X-SPZ", None, Wish("spz", False)),
        ("text/event-stream", None, Wish("ply", True)),
        ("text/event-stream, text/html", None, Wish("html", True)),
        ("text/event-stream", "glb", Wish("glb", True)),
        ("*/*", "spz", Wish("spz", False)),
    ],
)
def test_what_is_accepted_is_made(accept, asked, wish):
    assert negotiate(accept, asked) == wish


@pytest.mark.parametrize(
    ("accept", "asked"),
    [("image/png", None), ("application/x-ply;q=x", None), ("", "html"), ("text/html", "ply"),
     (";;;,,,q=", None), ("*/*;q=0", None)],
)  # fmt: skip
def test_what_is_not_made_is_refused(accept, asked):
    if accept == "":  # as if it were not there
        assert negotiate(accept, asked) == Wish("html", False)
        return
    with pytest.raises(Refusal, match="nothing that the header Accept names is made") as refused:
        negotiate(accept, asked)
    assert refused.value.status == 406
