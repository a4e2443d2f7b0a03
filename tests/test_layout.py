"""Tests mirror the tree: every module with logic has a test file of its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MIRRORED = {  # folders of modules, and where their tests are
    "engine": "engine",
    "export": "export",
    "fleet": "fleet",
    "training": "training",
    "bench": "bench",
    "plugins": "plugins",
    "python/geolrm/commands": "commands",
    "python/geolrm/viewer": "viewer",
}
# Modules with logic and without a test file, each with what tests it instead.
TESTED_ELSEWHERE = {
    "engine/backends/base.py": "the seam, in tests/engine/test_engine_contract.py",
    "engine/backends/cpu/backend.py": "tests/engine/test_engine_contract.py",
    "engine/backends/cpu/onnxruntime_segment.py": "tests/engine/test_engine_contract.py",
    "engine/backends/cuda/anchors.py": "an operator: tests/csrc",
    "engine/backends/cuda/encoding.py": "tests/engine/backends/cuda/test_backend.py",
    "engine/backends/cuda/executor.py": "tests/engine/backends/cuda/test_backend.py",
    "engine/backends/cuda/gaussians.py": "tests/engine/backends/cuda/test_output.py",
    "engine/backends/cuda/kernels.py": "operators: tests/csrc",
    "engine/backends/cuda/rope.py": "an operator: tests/csrc, tests/gpu",
    "engine/backends/cuda/segments.py": "tests/engine/backends/cuda/test_backend.py",
    "engine/rendering/cuda.py": "tests/engine/backends/cuda/test_output.py",
    "engine/rendering/cuda_gradients.py": "tests/csrc/test_rasterizer_gradients_on_cuda.py",
    "engine/rendering/cuda_rasterizer.py": "an operator: tests/csrc/test_rasterizer_on_cuda.py",
    "export/lowering.py": "tests/export/test_graphs.py runs what was lowered",
    "export/precision.py": "tests/export/test_gpu_artifact.py runs what was lowered",
    "export/shapes.py": "tests/export/test_gpu_artifact.py runs what was lowered",
    "export/splitting.py": "tests/export/test_graphs.py runs what was lowered",
    "fleet/serving/jobs.py": "the seam, in test_local_pool.py and test_deployments.py",
    "bench/gpu/counted.py": "run in tests/bench/gpu/test_parts.py",
    "bench/gpu/engine.py": "measured whole in tests/bench/gpu/test_parts.py",
    "bench/gpu/kernels.py": "measured whole in tests/bench/gpu/test_parts.py",
    "bench/gpu/splat_kernels.py": "measured whole in tests/bench/gpu/test_parts.py",
    "bench/gpu/stage_clock.py": "measured with in tests/bench/gpu/test_parts.py",
    "bench/gpu/torch_peer.py": "measured in tests/bench/gpu/test_parts.py",
    "plugins/deformable_cross_attention.py": "tests/plugins/test_contract.py",
    "plugins/grid_sample.py": "tests/plugins/test_contract.py",
}


def modules():
    for folder in MIRRORED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name not in ("__init__.py", "__main__.py"):
                yield path.relative_to(ROOT)


def has_logic(path):
    """Whether it is more than imports, constants, and classes of fields."""
    return any(_works(node) for node in ast.parse((ROOT / path).read_text()).body)


def _works(node):
    if isinstance(node, ast.ClassDef):
        return any(_works(inner) for inner in node.body)
    if isinstance(node, ast.If):  # TYPE_CHECKING
        return any(_works(inner) for inner in node.body)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def mirrored(path):
    for folder, tests in MIRRORED.items():
        if path.is_relative_to(folder):
            inner = path.relative_to(folder)
            return Path("tests", tests, inner.parent, f"test_{inner.name}")
    raise ValueError(path)


@pytest.mark.parametrize("path", [*modules()], ids=str)
def test_a_module_with_logic_has_its_mirrored(path):
    there = (ROOT / mirrored(path)).is_file()
    if str(path) in TESTED_ELSEWHERE:
        assert not there, f"{path} has {mirrored(path)}: take it off the list"
    elif has_logic(path):
        assert there, f"{path} has logic and no {mirrored(path)}"


def test_the_list_names_what_there_is():
    known = {str(path) for path in modules() if has_logic(path)}
    assert set(TESTED_ELSEWHERE) <= known, set(TESTED_ELSEWHERE) - known
