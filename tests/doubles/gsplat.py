"""``gsplat.rasterization`` by its signature: it checks what it is given and renders with ours.

It shows that gsplat is asked for the right thing, not that gsplat renders it as we do.
"""

import torch

from geolrm.training.rasterize import rasterize


def rasterization(
    means,
    quats,
    scales,
    opacities,
    colors,
    viewmats,
    Ks,
    width,
    height,
    near_plane=0.01,
    far_plane=1e10,
    radius_clip=0.0,
    eps2d=0.3,
    sh_degree=None,
    packed=True,
    tile_size=16,
    backgrounds=None,
    render_mode="RGB",
    sparse_grad=False,
    absgrad=False,
    rasterize_mode="classic",
):
    """The arguments of gsplat 1.5, and its checks of them."""
    count, views = len(means), len(viewmats)
    assert means.shape == (count, 3) and quats.shape == (count, 4) and scales.shape == (count, 3)
    assert opacities.shape == (count,)
    assert viewmats.shape == (views, 4, 4) and Ks.shape == (views, 3, 3)
    assert {t.dtype for t in (means, quats, viewmats, Ks, backgrounds)} == {torch.float32}
    assert backgrounds.shape == (views, 3) and backgrounds.is_contiguous()
    assert render_mode == "RGB+D" and not packed
    kind = {"colors": colors} if sh_degree is None else {"sh": colors}
    assert sh_degree is None or colors.shape == (count, (sh_degree + 1) ** 2, 3)
    drawn = rasterize(
        means, opacities, scales, quats, **kind, w2c=viewmats, intrinsics=Ks,
        size=(width, height), background=backgrounds[0].tolist(), near=near_plane, eps2d=eps2d,
    )  # fmt: skip
    return torch.cat([drawn.rgb, drawn.depth[..., None]], -1), drawn.alpha[..., None], {}
