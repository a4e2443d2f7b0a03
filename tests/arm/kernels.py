"""Run one kernel so many times: python kernels.py KERNEL ISA TIMES, for emulate.py to count.

Sizes are those of the trained default, but for fewer anchors and splats.
"""

import sys

import numpy as np

from geolrm import _C

VIEWS, HEADS, HEAD_DIM, POINTS, ANCHORS, CHANNELS = 3, 4, 32, 4, 96, 128
LEVELS = np.array([[16, 16], [8, 8]])
PIXELS = int(np.prod(LEVELS, axis=1).sum())
SPLATS, SIDE = 3000, 96
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def value_projection():
    project = _C.ValueProjection(
        normal(HEADS * HEAD_DIM, CHANNELS), normal(HEADS * HEAD_DIM), HEADS
    )
    features, out = normal(VIEWS, PIXELS, CHANNELS), normal(VIEWS, HEADS, PIXELS, HEAD_DIM)
    return lambda isa: project(features, None, out, 1, isa)


def self_attention():
    q, k, v = (normal(ANCHORS, HEADS * HEAD_DIM) for _ in range(3))
    out = np.empty_like(q)
    return lambda isa: _C.self_attention(q, k, v, HEADS, out, 1, isa)


def deformable_cross_attention():
    samples = HEADS * len(LEVELS) * POINTS
    values = normal(VIEWS, HEADS, PIXELS, HEAD_DIM)
    places = RNG.random((VIEWS, ANCHORS, 2), dtype=np.float32)
    offsets, logits = normal(ANCHORS, samples * 2), normal(ANCHORS, samples)
    weight, out = normal(HEADS * HEAD_DIM), np.empty((ANCHORS, HEADS * HEAD_DIM), np.float32)
    return lambda isa: _C.deformable_cross_attention(
        values, LEVELS, places, offsets, logits, weight, 0.1, out, 1, isa
    )


def sampling_arguments():
    samples = HEADS * len(LEVELS) * POINTS
    return (
        normal(VIEWS, PIXELS, HEADS * HEAD_DIM), LEVELS,
        RNG.random((VIEWS, ANCHORS, 2), dtype=np.float32), normal(ANCHORS, samples * 2),
        RNG.random((ANCHORS, samples), dtype=np.float32), HEADS,
    )  # fmt: skip


def deformable_sampling():
    arguments, out = sampling_arguments(), normal(VIEWS, ANCHORS, HEADS * HEAD_DIM)
    return lambda isa: _C.deformable_sampling(*arguments, out, 1, isa)


def deformable_sampling_backward():
    arguments, given = sampling_arguments(), normal(VIEWS, ANCHORS, HEADS * HEAD_DIM)
    gradients = [np.zeros_like(arguments[i]) for i in (0, 3, 4)]
    return lambda isa: _C.deformable_sampling_backward(*arguments, given, *gradients, 1, isa)


def scene():
    quats = normal(SPLATS, 4)
    splats = (
        RNG.uniform(-0.5, 0.5, (SPLATS, 3)).astype(np.float32),
        RNG.uniform(0.2, 1, SPLATS).astype(np.float32),
        RNG.uniform(0.01, 0.03, (SPLATS, 3)).astype(np.float32),
        quats / np.linalg.norm(quats, axis=1, keepdims=True),
        RNG.random((SPLATS, 3), dtype=np.float32),
    )  # fmt: skip
    pose = np.eye(4)[None].copy()
    pose[0, 2, 3] = 2.0
    k = np.array([[[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1]]], np.float64)
    return splats, (pose, k, SIDE, SIDE, _C.RasterParameters())


def rasterizer():
    splats, view = scene()
    model = _C.SplatModel(*splats, threads=1)
    images = [np.empty((1, SIDE, SIDE, *tail), np.float32) for tail in ((3,), (), ())]
    return lambda isa: model.render(*view, *images, threads=1, isa=isa)


def rasterizer_backward():
    splats, view = scene()
    model = _C.SplatModel(*splats, threads=1)
    given = [normal(1, SIDE, SIDE, *tail) for tail in ((3,), (), ())]
    gradients = [np.zeros_like(array) for array in splats]
    return lambda isa: model.backward(*view, *given, *gradients, threads=1, isa=isa)


KERNELS = {
    make.__name__: make
    for make in (
        value_projection, self_attention, deformable_cross_attention, deformable_sampling,
        deformable_sampling_backward, rasterizer, rasterizer_backward,
    )
}  # fmt: skip


def main(kernel: str, isa: str, times: str) -> None:
    call = KERNELS[kernel]()
    for _ in range(int(times)):
        call(isa)


if __name__ == "__main__":
    main(*sys.argv[1:])
