"""Images do not depend on threads, tiles, passes, culling or repetition."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from csrc.scenes import camera, cloud

from geolrm import _C
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders

SIZE = (203, 131)


def bits(image: Renders) -> bytes:
    return image.rgb.tobytes() + image.alpha.tobytes() + image.depth.tobytes()


def scenes():
    dense = cloud(6000, 3, low=0.02, high=0.2)
    ties = cloud(3000, 4, low=0.02, high=0.1)
    ties.means[:] = np.round(ties.means * 8) / 8
    flat = cloud(1500, 5, low=0.02, high=0.3)
    flat.means[:, 2] = 0
    many = cloud(14000, 6, low=0.02, high=0.1)  # enough for the pixels to be drawn in two parts
    return {"dense": dense, "ties": ties, "flat": flat, "many": many}


@pytest.mark.parametrize("name", ["dense", "ties", "flat", "many"])
@pytest.mark.parametrize("isa", ISAS)
def test_bit_identical(name, isa):
    model = scenes()[name].model()
    w2c, k = camera(SIZE, elevation=1.5 if name == "flat" else 0.4)

    def draw(**options):
        frame = Frame(w2c[None], k[None], SIZE, _C.RasterParameters(alpha_max=0.999))
        return bits(render_frame(model, frame, isa=isa, **options))

    expected = draw(threads=1)
    for options in (
        {"threads": 1},
        {"threads": 2},
        {"threads": 7},
        {"threads": 3, "tile_size": 32},
        {"threads": 2, "pair_budget": 1000},
        {"threads": 1, "pair_budget": 1, "tile_size": 32} if name == "flat" else {},
        {"threads": 2, "pair_budget": 4567, "tile_size": 32},
        {"threads": 2, "cull": False},
    ):
        assert draw(**options) == expected, options


def test_what_the_nearer_part_hides_is_not_listed():
    model = scenes()["many"].model()
    w2c, k = camera(SIZE)
    out = Renders.empty(1, SIZE)
    frame = (w2c[None], k[None], *SIZE, _C.RasterParameters(), out.rgb, out.alpha, out.depth)
    whole, parts = model.render(*frame, cull=False), model.render(*frame)
    assert (whole["passes"], parts["passes"]) == (1, 2)
    assert parts["visible"] == whole["visible"]
    assert parts["pairs"] < 0.9 * whole["pairs"]
    assert model.render(*frame, pair_budget=3000)["passes"] > 3


def test_isas_agree():
    model = scenes()["dense"].model()
    w2c, k = camera(SIZE)
    frame = Frame(w2c[None], k[None], SIZE)
    first, *others = (render_frame(model, frame, isa=isa) for isa in ISAS)
    for other in others:
        # A few ulp in alpha can move a pixel over the 1/255 edge.
        assert np.mean(np.abs(first.rgb - other.rgb) > 1e-5) < 1e-4
        assert np.abs(first.rgb - other.rgb).max() < 0.005


def test_caller_owned_output():
    scene = cloud(300, 6)
    w2c, k = camera(SIZE)
    out = Renders.empty(1, SIZE)
    for array in (out.rgb, out.alpha, out.depth):
        array.fill(np.nan)
    frame = Frame(w2c[None], k[None], SIZE)
    image = render_frame(scene.model(), frame, out=out)
    assert image is out
    assert bits(out) == bits(render_frame(scene.model(), frame))
