"""Cases of deformable_cross_attention in every storage, and what runs them."""

from dataclasses import dataclass

import numpy as np
from reference import deformable_cross_attention as reference

from geolrm import _C
from geolrm.engine.backends.cuda.kernels import LEAST_PIXELS, DeformableCrossAttention


@dataclass(frozen=True)
class Storage:
    """How the tensors are stored; arithmetic is float32 everywhere."""

    value: str = "float32"
    query: str = "float32"
    reference: str = "float32"
    weight: str = "float32"
    out: str = "float32"
    shapes: str = "int64"


FLOATS = Storage()


# Of results against float64 loops over the inputs as they are stored.
TOLERANCE = {"float32": 2e-4, "float16": 2e-4 + 2.0**-11, "bfloat16": 2e-4 + 2.0**-8}


def make_case(seed, views, heads, head_dim, levels, points, queries, half=False):
    """Arguments of deformable_cross_attention, some samples outside their image."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, 9, (levels, 2))
    if shapes.prod(1).sum() < LEAST_PIXELS:
        shapes[0, 0] = LEAST_PIXELS
    pixels = int(shapes.prod(1).sum())
    values = rng.standard_normal((views, heads, pixels, head_dim), dtype=np.float32)
    if half:
        values = values.astype(np.float16)
    references = rng.uniform(-0.3, 1.3, (views, queries, 2)).astype(np.float32)
    offsets = rng.normal(0, 2, (queries, heads * levels * points * 2)).astype(np.float32)
    logits = rng.standard_normal((queries, heads * levels * points), dtype=np.float32)
    weight = rng.standard_normal(heads * head_dim, dtype=np.float32) * 0.5
    return [values, shapes, references, offsets, logits, weight, 0.3]


def on_a_grid(arguments):
    """The same with values and weights of taps whose products and sums 8 bits hold.

    So blends in half precision are exact, and what is left is the rounding of float32.
    """
    values, shapes, references, offsets, logits, weight, bias = arguments
    rng = np.random.default_rng(len(values))
    sides = np.array([1, 2, 4, 8])[rng.integers(0, 4, shapes.shape)]
    sides[0] = np.maximum(sides[0], 2)
    pixels = int(sides.prod(1).sum())
    values = rng.integers(-8, 9, (*values.shape[:2], pixels, values.shape[3])).astype(np.float32)
    references, offsets = np.round(references * 4) / 4, np.round(offsets * 4) / 4
    return [values, sides, references, offsets, logits, weight / 8, bias]


def store(values, dtype):
    """Values as a storage type, bfloat16's bits as float16's, and what they are once read."""
    values = np.ascontiguousarray(values, np.float32)
    if dtype != "bfloat16":
        stored = values.astype(dtype)
        return stored, stored.astype(np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)  # truncated, which is a valid input
    return bits.view(np.float16), (bits.astype(np.uint32) << 16).view(np.float32)


class Case:
    """Arguments in a storage, as a device takes them and as float32 for the CPU's reference."""

    def __init__(self, arguments, storage=FLOATS):
        values, shapes, *tensors, bias = arguments
        self.storage = s = storage
        self.views, self.heads, self.pixels, self.head_dim = values.shape
        self.queries = len(tensors[1])
        flat = values.transpose(0, 2, 1, 3).reshape(self.views, self.pixels, -1)
        given = [flat, *tensors, np.array([bias])]
        types = [s.value, s.reference, s.query, s.query, s.weight, s.weight]
        (value, read), *pairs = [store(a, t) for a, t in zip(given, types, strict=True)]
        by_head = read.reshape(self.views, self.pixels, self.heads, self.head_dim)
        self.stored = [value, shapes.astype(s.shapes), *(pair[0] for pair in pairs)]
        *read, bias = (pair[1] for pair in pairs)
        values = np.ascontiguousarray(by_head.transpose(0, 2, 1, 3))
        self.arguments = [values, shapes, *read, float(bias[0])]

    @property
    def kernel(self):
        levels, samples = len(self.arguments[1]), self.arguments[4].shape[1]
        return DeformableCrossAttention(
            self.heads, self.head_dim, levels, samples // self.heads // levels, **vars(self.storage)
        )

    def truth(self):
        return reference.deformable_cross_attention(*self.arguments)

    def run(self, implementation, threads=2, order=None, value_bias=None):
        """[N, h*e] in float32, ``threads`` on the CPU, in an ``order`` of the queries elsewhere."""
        if implementation.device is None:
            values, *rest = self.arguments
            return run([values.astype(self.storage.value), *rest], threads, implementation.name)
        device = implementation.device
        placed = [device.upload(array) for array in self.stored]
        out = device.empty((self.queries, self.heads * self.head_dim), self.storage.out)
        sizes = {"views": self.views, "queries": self.queries, "pixels": self.pixels}
        order, value_bias = (
            None if array is None else device.upload(array) for array in (order, value_bias)
        )
        calls = self.kernel.calls(*placed, out, **sizes, order=order, value_bias=value_bias)
        device.launch(calls)
        return out.numpy().astype(np.float32)


def run(case, threads=2, isa=""):
    out = np.full((case[2].shape[1], case[0].shape[1] * case[0].shape[3]), np.nan, np.float32)
    _C.deformable_cross_attention(*case, out, threads, isa)
    return out


def assert_near(got, truth, case, tolerance=0.0):
    tolerance = max(tolerance, TOLERANCE[case.storage.out])
    np.testing.assert_allclose(got, truth, rtol=tolerance, atol=tolerance)
