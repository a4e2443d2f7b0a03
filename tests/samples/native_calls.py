"""A good call of every function and class of geolrm._C, as data: what its arguments are.

An array is a line: its access (in or out; in place is out), its dtype and its axes, each a product
of sizes by name and of numbers. Anything else is a function of the sizes and of a generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from geolrm import _C

LEVELS = ((3, 4), (2, 1), (1, 1))


def sizes_of(rng: np.random.Generator) -> dict[str, int]:
    """Draw the sizes that the lines name; 0 now and then where a call may be empty."""

    def one_of(*values):
        return int(rng.choice(values))

    levels = one_of(1, 2, 3)
    return {
        "views": one_of(0, 1, 1, 2, 3),
        "seen": one_of(1, 2, 3),  # views where there must be one
        "levels": levels,
        "L": sum(h * w for h, w in LEVELS[:levels]),
        "N": one_of(0, 1, 5, 19),
        "h": one_of(1, 2, 3),
        "e": one_of(1, 4, 17),
        "P": one_of(1, 2, 9),
        "C": one_of(1, 8, 33),
        "splats": one_of(0, 1, 7, 40),
        "harmonics": one_of(1, 4, 9, 16),
        "width": one_of(1, 13, 70),
        "height": one_of(1, 8, 35),
        "targets": one_of(1, 3),
        "rates": one_of(1, 3),
        "vertices": one_of(3, 12),
        "faces": one_of(0, 1, 9),
    }


def array_of(line: str, sizes: dict[str, int], rng: np.random.Generator) -> np.ndarray:
    """Fill the array that a line describes with ordinary numbers."""
    _, dtype, *axes = line.split()
    shape = tuple(
        prod(int(factor) if factor.isdecimal() else sizes[factor] for factor in axis.split("*"))
        for axis in axes
    )
    if dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return (rng.random(shape) * 0.9 + 0.05).astype(dtype)


@dataclass(frozen=True)
class NativeCall:
    """What is called, and its arguments in order; with `method`, the first is the object."""

    called: Callable
    arguments: dict[str, Any]
    method: bool = False

    def outputs(self) -> list[str]:
        """Names of the arrays that the call may write to."""
        lines = self.arguments.items()
        return [name for name, line in lines if isinstance(line, str) and line[:4] == "out "]

    def good(self, sizes: dict[str, int], rng: np.random.Generator) -> dict[str, Any]:
        """Arguments that fit one another."""
        return {
            name: array_of(made, sizes, rng) if isinstance(made, str) else made(sizes, rng)
            for name, made in self.arguments.items()
        }

    def __call__(self, arguments: dict[str, Any]) -> object:
        rest = dict(arguments)
        first = [rest.pop("self")] if self.method else []
        return self.called(*first, **rest)


def constant(value):
    return lambda sizes, rng: value


def size(name):
    return lambda sizes, rng: sizes[name]


def one_of(*values):
    return lambda sizes, rng: values[rng.integers(len(values))]


def level_shapes(sizes, rng):
    return np.array(LEVELS[: sizes["levels"]], np.int64)


def poses(sizes, rng):
    poses = np.tile(np.eye(4), (sizes["views"], 1, 1))
    poses[:, 2, 3] = 2.0
    return poses


def intrinsics(sizes, rng):
    width, height = sizes["width"], sizes["height"]
    one = np.array([[width, 0, width / 2], [0, height, height / 2], [0, 0, 1]], np.float64)
    return np.tile(one, (sizes["views"], 1, 1))


def splats(sizes, rng):
    lines = {"means": "in float32 splats 3", "opacities": "in float32 splats"}
    lines |= {"scales": "in float32 splats 3", "quats": "in float32 splats 4"}
    lines |= {"colors": "in float32 splats 3"}
    arrays: dict[str, Any] = {name: array_of(line, sizes, rng) for name, line in lines.items()}
    return _C.SplatModel(**arrays)


def mesh(sizes, rng):
    return _C.TexturedMesh(
        array_of("in float32 vertices 3", sizes, rng),
        corners(sizes, rng),
        array_of("in float32 vertices 2", sizes, rng),
        textures(sizes, rng),
        np.zeros(sizes["faces"], np.int32),
    )


def corners(sizes, rng):
    return rng.integers(0, sizes["vertices"], (sizes["faces"], 3)).astype(np.int32)


def textures(sizes, rng):
    return [rng.integers(0, 256, (5, 3, 3)).astype(np.uint8), np.full((1, 2, 3), 7, np.uint8)]


THREADS = {"threads": one_of(0, 1, 3), "isa": one_of("", "plain", _C.best_isa())}
SAMPLED = {
    "value": "in float32 views L h*e",
    "level_shapes": level_shapes,
    "reference": "in float32 views N 2",
    "offsets": "in float32 N h*levels*P*2",
    "weights": "in float32 N h*levels*P",
    "num_heads": size("h"),
}
CAMERAS = {
    "w2c": poses,
    "intrinsics": intrinsics,
    "width": size("width"),
    "height": size("height"),
}
IMAGES = {
    "rgb": "out float32 views height width 3",
    "alpha": "out float32 views height width",
    "depth": "out float32 views height width",
}
PARAMETERS = {"parameters": lambda sizes, rng: _C.RasterParameters()}
GRADIENTS = {
    "means": "out float32 splats 3",
    "opacities": "out float32 splats",
    "scales": "out float32 splats 3",
    "quats": "out float32 splats 4",
    "color": "out float32 splats 3",
    "cameras": "out float64 views 8",
}
SPLATS = {
    "means": "in float32 splats 3",
    "opacities": "in float32 splats",
    "scales": "in float32 splats 3",
    "quats": "in float32 splats 4",
}
TILES = {"tile_size": one_of(32, 64), "pair_budget": one_of(1, 100, 1 << 21)}
LOSS = {"huber": 0.1, "slope": 1.0, "square_share": 0.2, "alpha_share": 0.5}

CALLS = {
    "best_isa": NativeCall(_C.best_isa, {}),
    "deformable_cross_attention": NativeCall(
        _C.deformable_cross_attention,
        {
            "values": "in float32 seen h L e",
            "level_shapes": level_shapes,
            "reference_points": "in float32 seen N 2",
            "sampling_offsets": "in float32 N h*levels*P*2",
            "attention_logits": "in float32 N h*levels*P",
            "view_weight": "in float32 h*e",
            "view_bias": constant(0.5),
            "out": "out float32 N h*e",
            **THREADS,
        },
    ),
    "mark_touched": NativeCall(
        _C.mark_touched,
        {
            "level_shapes": level_shapes,
            "reference_points": "in float32 views N 2",
            "sampling_offsets": "in float32 N h*levels*P*2",
            "num_heads": size("h"),
            "num_points": size("P"),
            "touched": "out uint8 views L",
            **THREADS,
        },
    ),
    "query_order": NativeCall(_C.query_order, {"reference_points": "in float32 seen N 2"}),
    "ValueProjection": NativeCall(
        _C.ValueProjection,
        {"weight": "in float32 h*e C", "bias": "in float32 h*e", "num_heads": size("h")},
    ),
    "ValueProjection.__call__": NativeCall(
        _C.ValueProjection.__call__,
        {
            "self": lambda sizes, rng: _C.ValueProjection(
                array_of("in float32 h*e C", sizes, rng),
                array_of("in float32 h*e", sizes, rng),
                sizes["h"],
            ),
            "features": "in float32 views L C",
            "touched": "in uint8 views L",
            "out": "out float32 views h L e",
            **THREADS,
        },
        method=True,
    ),
    "self_attention": NativeCall(
        _C.self_attention,
        {
            "q": "in float32 N h*e",
            "k": "in float32 N h*e",
            "v": "in float32 N h*e",
            "num_heads": size("h"),
            "out": "out float32 N h*e",
            **THREADS,
        },
    ),
    "deformable_sampling": NativeCall(
        _C.deformable_sampling, {**SAMPLED, "out": "out float32 views N h*e", **THREADS}
    ),
    "deformable_sampling_backward": NativeCall(
        _C.deformable_sampling_backward,
        {
            **SAMPLED,
            "g_out": "in float32 views N h*e",
            "g_value": "out float32 views L h*e",
            "g_offsets": "out float32 N h*levels*P*2",
            "g_weights": "out float32 N h*levels*P",
            **THREADS,
        },
    ),
    "dlpack_capsule": NativeCall(
        _C.dlpack_capsule,
        {
            "address": constant(0),
            "shape": constant([2, 0, 3]),
            "dtype": constant((2, 32)),
            "device": constant((1, 0)),
            "owner": lambda sizes, rng: bytearray(24),
            "versioned": one_of(False, True),
            "copied": one_of(False, True),
        },
    ),
    "RasterParameters": NativeCall(
        _C.RasterParameters,
        {
            "background": constant([0.0, 0.5, 1.0]),
            "near": constant(0.01),
            "eps2d": constant(0.3),
            "alpha_max": constant(0.99),
            "antialiased": one_of(False, True),
            "alpha_min": constant(1 / 255),
            "transmittance_min": constant(1e-4),
            "clip_margin": constant(0.3),
        },
    ),
    "raster_views": NativeCall(_C.raster_views, {**CAMERAS, **PARAMETERS}),
    "ImageLoss": NativeCall(_C.ImageLoss, {name: constant(value) for name, value in LOSS.items()}),
    "SplatModel": NativeCall(
        _C.SplatModel,
        {**SPLATS, "colors": "in float32 splats 3", "threads": one_of(0, 1, 3)},
    ),
    "SplatModel of sh": NativeCall(
        _C.SplatModel,
        {**SPLATS, "sh": "in float32 splats harmonics 3", "threads": one_of(0, 1, 3)},
    ),
    "SplatModel.__len__": NativeCall(_C.SplatModel.__len__, {"self": splats}, method=True),
    "SplatModel.render": NativeCall(
        _C.SplatModel.render,
        {
            "self": splats,
            **CAMERAS,
            **PARAMETERS,
            **IMAGES,
            **THREADS,
            **TILES,
            "cull": one_of(False, True),
            "timed": one_of(False, True),
        },
        method=True,
    ),
    "SplatModel.backward": NativeCall(
        _C.SplatModel.backward,
        {
            "self": splats,
            **CAMERAS,
            **PARAMETERS,
            "g_rgb": "in float32 views height width 3",
            "g_alpha": "in float32 views height width",
            "g_depth": "in float32 views height width",
            **GRADIENTS,
            **THREADS,
            **TILES,
        },
        method=True,
    ),
    "SplatModel.compare": NativeCall(
        _C.SplatModel.compare,
        {
            "self": splats,
            **CAMERAS,
            **PARAMETERS,
            "premultiplied": "in float32 targets height width 3",
            "target_alpha": "in float32 targets height width",
            "weights": "in float32 targets height width",
            "chosen": lambda sizes, rng: rng.integers(0, sizes["targets"], sizes["views"]).tolist(),
            "loss": lambda sizes, rng: _C.ImageLoss(**LOSS),
            **GRADIENTS,
            **THREADS,
            **TILES,
        },
        method=True,
    ),
    "step_adam": NativeCall(
        _C.step_adam,
        {
            "values": "out float32 N e",
            "mean": "out float32 N e",
            "square": "out float32 N e",
            "gradient": "in float32 N e",
            "rates": "in float32 rates",
            "first": constant(0.1),
            "second": constant(0.01),
            "square_bias": constant(0.5),
            "floor": constant(1e-8),
            "threads": one_of(0, 1, 3),
        },
    ),
    "visible_faces": NativeCall(
        _C.visible_faces,
        {
            "points": "in float64 vertices 3",
            "faces": corners,
            "width": size("width"),
            "height": size("height"),
            "ids": "out int32 height width",
            "iz": "out float32 height width",
        },
    ),
    "TexturedMesh": NativeCall(
        _C.TexturedMesh,
        {
            "vertices": "in float32 vertices 3",
            "faces": corners,
            "uv": "in float32 vertices 2",
            "textures": textures,
            "face_texture": lambda sizes, rng: rng.integers(0, 2, sizes["faces"]).astype(np.int32),
        },
    ),
    "TexturedMesh.render": NativeCall(
        _C.TexturedMesh.render,
        {
            "self": mesh,
            **CAMERAS,
            "supersample": one_of(1, 2, 3),
            **IMAGES,
            "threads": one_of(0, 1, 3),
        },
        method=True,
    ),
}
