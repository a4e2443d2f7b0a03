"""The native kernels against their formulations in PyTorch, NumPy and ONNX Runtime, in one run.

Sizes are those of one layer of the released reconstruction model at 448 px and six views.
Run it with ``geolrm bench kernels``; ``--json`` prints the rows as JSON.
"""

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np

from geolrm import _C
from geolrm.bench import machine
from geolrm.bench.machine import best_seconds
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require

VIEWS, HEADS, HEAD_DIM, POINTS, CHANNELS = 6, 16, 48, 8, 384
D = HEADS * HEAD_DIM
LEVEL_SHAPES = np.array([[112, 112], [64, 64]], np.int64)
PIXELS = int(LEVEL_SHAPES.prod(1).sum())


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    task: str
    ours: str
    other: str
    ratio: float | None  # how many times faster than the other


def aligned(array: np.ndarray) -> np.ndarray:
    """Copy an array to the start of a cache line, as the engine's buffers do."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def project_surface(rng: np.random.Generator, count: int) -> np.ndarray:
    """Project points of an ellipsoid into views around it: [V, N, 2]."""
    points = rng.standard_normal((count, 3))
    points *= np.array([0.45, 0.3, 0.4]) / np.linalg.norm(points, axis=1, keepdims=True)
    references = []
    for azimuth in np.arange(VIEWS) * 2 * np.pi / VIEWS:
        x = points[:, 0] * np.cos(azimuth) + points[:, 1] * np.sin(azimuth)
        z = points[:, 1] * np.cos(azimuth) - points[:, 0] * np.sin(azimuth) + 1.5
        references.append(0.5 + 1.4 * np.stack([x, points[:, 2]], -1) / z[:, None])
    return np.stack(references).astype(np.float32)


def bench_sampling(threads: int, queries: int, repeats: int) -> list[Row]:
    """Time deformable cross-attention against one grid_sample a view and level; mark_touched."""
    import torch
    import torch.nn.functional as F

    rng = np.random.default_rng(0)
    values = aligned(rng.standard_normal((VIEWS, HEADS, PIXELS, HEAD_DIM), dtype=np.float32))
    references = project_surface(rng, queries)
    latent = torch.from_numpy(rng.standard_normal((queries, D), dtype=np.float32))
    angle = 2 * np.pi * np.arange(HEADS) / HEADS
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None, None, :]
    ring = ring * np.arange(1, POINTS + 1)[:, None] * np.ones((1, 2, 1, 1))  # [h, levels, P, 2]
    samples = HEADS * 2 * POINTS
    offset_bias = torch.from_numpy(ring.reshape(-1).astype(np.float32))
    offset_weight = torch.from_numpy(rng.normal(0, D**-0.5, (samples * 2, D)).astype(np.float32))
    logit_weight = torch.from_numpy(rng.normal(0, D**-0.5, (samples, D)).astype(np.float32))
    view_weight = rng.normal(0, 0.05, D).astype(np.float32)
    planes, start = [], 0
    for rows, columns in LEVEL_SHAPES.tolist():
        level = values[:, :, start : start + rows * columns].swapaxes(2, 3)
        level = np.ascontiguousarray(level).reshape(VIEWS, HEADS, HEAD_DIM, rows, columns)
        planes.append(torch.from_numpy(level))
        start += rows * columns
    size = [torch.tensor([columns, rows]) for rows, columns in LEVEL_SHAPES.tolist()]
    reference = torch.from_numpy(references)
    fusion_weight = torch.from_numpy(view_weight)

    @torch.inference_mode()
    def released() -> "torch.Tensor":
        outs = []
        for view in range(VIEWS):  # the released code evaluates both Linears for every view
            offsets = F.linear(latent, offset_weight, offset_bias)
            offsets = offsets.view(queries, HEADS, 2, POINTS, 2)
            attention = F.linear(latent, logit_weight).view(queries, HEADS, -1).softmax(-1)
            sampled = []
            for level in range(2):
                location = reference[view][:, None, None] + offsets[:, :, level] / size[level]
                grid = (2 * location - 1).transpose(0, 1)
                sampled.append(F.grid_sample(planes[level][view], grid, align_corners=False))
            o = (torch.cat(sampled, -1) * attention.permute(1, 0, 2)[:, None]).sum(-1)
            outs.append(o.permute(2, 0, 1).reshape(queries, D))
        stack = torch.stack(outs)
        return ((stack @ fusion_weight).softmax(0)[..., None] * stack).sum(0)

    with torch.inference_mode():
        offsets = F.linear(latent, offset_weight, offset_bias).numpy()
        logits = F.linear(latent, logit_weight).numpy()
    out = np.empty((queries, D), np.float32)
    rows = []
    expected = released().numpy()
    slow = best_seconds(released, max(1, repeats // 4))
    halves = aligned(values.astype(np.float16))
    for name, stored in (("float32", values), ("float16", halves)):

        def attend(stored: np.ndarray = stored) -> None:
            _C.deformable_cross_attention(
                stored, LEVEL_SHAPES, references, offsets, logits, view_weight, 0.0, out, threads
            )

        fast = best_seconds(attend, repeats)
        np.testing.assert_allclose(out, expected, atol=2e-2 if name == "float16" else 1e-3)
        task = f"deformable attention N={queries} {name} values"
        rows.append(Row(task, f"{fast * 1e3:.1f} ms", f"torch {slow * 1e3:.0f} ms", slow / fast))
    touched = np.empty((VIEWS, PIXELS), np.uint8)
    marking = best_seconds(
        lambda: _C.mark_touched(LEVEL_SHAPES, references, offsets, HEADS, POINTS, touched, threads),
        repeats,
    )
    share = f"{touched.mean():.0%} of rows"
    rows.append(Row(f"mark_touched N={queries}", f"{marking * 1e3:.1f} ms", share, None))
    return rows


def bench_projection(threads: int, repeats: int) -> list[Row]:
    """Time the value projection of two views against NumPy's sgemm and torch's Linear."""
    import torch
    import torch.nn.functional as F

    rng = np.random.default_rng(1)
    features = aligned(rng.standard_normal((2, PIXELS, CHANNELS), dtype=np.float32))
    weight = rng.normal(0, CHANNELS**-0.5, (D, CHANNELS)).astype(np.float32)
    bias = rng.standard_normal(D, dtype=np.float32)
    touched = (rng.random((2, PIXELS)) < 0.6).astype(np.uint8)
    out = aligned(np.zeros((2, HEADS, PIXELS, HEAD_DIM), np.float32))
    project = _C.ValueProjection(weight, bias, HEADS)
    gflop = 2e-9 * 2 * PIXELS * CHANNELS * D
    square, product = rng.standard_normal((2, 2048, 2048), dtype=np.float32)
    sgemm = 2e-9 * 2048**3 / best_seconds(lambda: np.matmul(square, square, out=product), repeats)
    tensors = [torch.from_numpy(a) for a in (features, weight, bias)]
    with torch.inference_mode():
        linear = gflop / best_seconds(lambda: F.linear(*tensors), repeats)
    dense = gflop / best_seconds(lambda: project(features, None, out, threads), repeats)
    sparse = touched.mean() * gflop
    sparse /= best_seconds(lambda: project(features, touched, out, threads), repeats)
    numpy, torch_linear = f"numpy 2048^3 {sgemm:.0f}", f"torch Linear {linear:.0f}"
    return [
        Row("value projection, all rows", f"{dense:.0f} GFLOP/s", numpy, dense / sgemm),
        Row("value projection, all rows", f"{dense:.0f} GFLOP/s", torch_linear, dense / linear),
        Row("value projection, 60 % of rows", f"{sparse:.0f} GFLOP/s", numpy, sparse / sgemm),
    ]


def onnx_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, threads: int):
    """Make a call of ONNX Runtime's com.microsoft::MultiHeadAttention on these inputs."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    def value(name: str):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *q.shape])

    node = helper.make_node(
        "MultiHeadAttention", ["q", "k", "v"], ["out"], domain="com.microsoft", num_heads=HEADS
    )
    graph = helper.make_graph([node], "attention", [value(n) for n in "qkv"], [value("out")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"q": q[None], "k": k[None], "v": v[None]}
    return lambda: np.asarray(session.run(None, feed)[0])[0]


def bench_self_attention(threads: int, queries: int, repeats: int) -> list[Row]:
    """Time self-attention against torch's SDPA and ONNX Runtime's fused operator."""
    import torch
    import torch.nn.functional as F

    rng = np.random.default_rng(2)
    q, k, v = (aligned(rng.standard_normal((queries, D), dtype=np.float32)) for _ in range(3))
    out = aligned(np.empty_like(q))
    gflop = 4e-9 * queries**2 * D
    shape = (1, queries, HEADS, HEAD_DIM)
    by_head = (torch.from_numpy(x).view(shape).transpose(1, 2) for x in (q, k, v))
    qs, ks, vs = by_head
    ours = gflop / best_seconds(lambda: _C.self_attention(q, k, v, HEADS, out, threads), repeats)
    with torch.inference_mode():
        sdpa = gflop / best_seconds(lambda: F.scaled_dot_product_attention(qs, ks, vs), repeats)
    run_onnx = onnx_attention(q, k, v, threads)
    np.testing.assert_allclose(out, run_onnx(), atol=1e-4)
    fused = gflop / best_seconds(run_onnx, repeats)
    task, speed = f"self-attention N={queries}", f"{ours:.0f} GFLOP/s"
    return [
        Row(task, speed, f"torch SDPA {sdpa:.0f}", ours / sdpa),
        Row(task, speed, f"ONNX Runtime MHA {fused:.0f}", ours / fused),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="geolrm bench kernels", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--attention-tokens", type=int, default=8192)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    require("torch", "the comparison of kernels")
    import torch

    torch.set_num_threads(options.threads)
    setting = {
        "cpu": machine.cpu_name(),
        "isa": _C.best_isa(),
        "threads": options.threads,
        **machine.versions(),
    }
    rows = []
    for queries in options.tokens:
        rows += bench_sampling(options.threads, queries, options.repeats)
    rows += bench_projection(options.threads, options.repeats)
    rows += bench_self_attention(
        options.threads, options.attention_tokens, max(2, options.repeats // 3)
    )
    if options.json:
        print(json.dumps({"setting": setting, "rows": [asdict(row) for row in rows]}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in setting.items()))
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        print(f"{row.task:44} {row.ours:>12} {row.other:>24} {ratio:>8}")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
