"""The plugins against TensorRT's own bindings, on doubles of its libraries: no GPU is needed."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from doubles import tensorrt_plugin_builds as plugin_builds

from geolrm.engine.backends.cuda import kernels
from geolrm.engine.cuda.compiler import compile_source
from geolrm.export.lowering import PLUGIN_VERSION
from geolrm.plugins import registration

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_bindings") is None,
        reason="tensorrt-cu13-bindings is not installed",
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the doubles of libraries are for Linux"),
]
SIZES = [{"views": v, "tokens": n} for v, n in [(1, 1), (6, 8192), (21, 16384), (3, 1001)]]


def attention_case(heads, width, points, level_shapes, value="HALF", query="FLOAT"):
    levels, d = len(level_shapes), heads * width
    samples = heads * levels * points
    return {
        "plugin": "geolrm::DeformableCrossAttention",
        "attributes": {"num_heads": heads, "num_points": points},
        "types": [value, "INT64", "FLOAT", query, query, "FLOAT", "FLOAT", "INT32"],
        "shapes": [
            ["views", sum(h * w for h, w in level_shapes), d], [levels, 2], ["views", "tokens", 2],
            ["tokens", 2 * samples], ["tokens", samples], [d], [1], ["tokens"],
        ],
        "sizes": SIZES,
    }  # fmt: skip


def grid_case(shape, grid, border=0, align_corners=0, kind="FLOAT"):
    return {
        "plugin": "geolrm::GridSample",
        "attributes": {"align_corners": align_corners, "border": border},
        "types": [kind, "FLOAT"],
        "shapes": [shape, grid],
        "sizes": SIZES,
    }


MINI, RELEASED = [(32, 32), (56, 56)], [(32, 32), (64, 64), (128, 128), (224, 224)]
ATTENTIONS = {
    "mini": attention_case(4, 48, 4, MINI),
    "released": attention_case(16, 48, 8, RELEASED),
    "bfloat16": attention_case(4, 48, 4, MINI, "BF16"),
    "float32": attention_case(2, 12, 2, [(4, 4)], "FLOAT"),
    "half queries": attention_case(2, 12, 2, [(4, 4)], "HALF", "HALF"),
}
GRIDS = {
    "image": grid_case(["views", 4, 224, 224], ["views", 1, "tokens", 2]),
    "volume": grid_case([1, 25, 32, 32, 32], [1, 1, 1, "tokens", 3], align_corners=1),
    "border": grid_case(["views", 300, 40, 41, 42], ["views", 2, "tokens", 3, 3], border=1),
}
DYNAMIC_CHANNELS = attention_case(4, 48, 4, MINI)
DYNAMIC_CHANNELS["shapes"][0] = ["views", 4160, "tokens"]
DOUBLES = grid_case(["views", 4, 224, 224], ["views", 1, "tokens", 2], kind="INT32")
LARGE = attention_case(16, 64, 8, [(2048, 1024)])
REFUSED = {
    "a dynamic width": (DYNAMIC_CHANNELS, "GeoLRMError: a side .* is dynamic; export it again"),
    "integers": (DOUBLES, "GeoLRMError: a plugin's tensor is INT32; it must be one of FLOAT, HALF"),
    "2^31 values": (LARGE, "InputError: a view of 2097152 pixels and 1024 channels is too large"),
}
NAMES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What TensorRT was told of every case, by its name."""
    folder = tmp_path_factory.mktemp("libraries")
    plugin_builds.build_library_doubles(folder)
    cases = ATTENTIONS | GRIDS | {name: case for name, (case, _) in REFUSED.items()}
    done = subprocess.run(
        [sys.executable, plugin_builds.__file__, folder], input=json.dumps(list(cases.values())),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.split("\nRESULT")[1])
    return dict(zip(cases, answer["results"], strict=True)) | {"facts": answer["facts"]}


def test_registers_both_plugins_once_and_lazily(told):
    facts = told["facts"]
    assert facts["registered"] == ["geolrm::DeformableCrossAttention", "geolrm::GridSample"]
    assert facts["in_tensorrt"] == []
    assert facts["version"] == facts["again"] == registration.version()


def test_attributes_are_in_the_order_in_which_nodes_carry_them(told):
    """TensorRT hands them over by place: an order of its own would mix up heads and points."""
    for names in told["facts"]["attributes"].values():
        assert names == sorted(names)
    assert PLUGIN_VERSION == "1"  # of every quick-deployable plugin


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_is_launched_as_the_kernel_plans_it(told, name):
    case, seen = ATTENTIONS[name], told[name]
    assert "error" not in seen, seen
    value, _, reference, query, _, weight, *_ = (NAMES.get(t, "int64") for t in case["types"])
    heads, points = case["attributes"]["num_heads"], case["attributes"]["num_points"]
    (_, pixels, d), (levels, _) = case["shapes"][:2]
    kernel = kernels.DeformableCrossAttention(
        heads, d // heads, levels, points, value, query, reference, weight, out=value
    )
    check_formats(seen, case)
    assert (
        seen["ptx"].encode()
        == compile_source(kernel.source.name, "compute_89", kernel.source.defines).code
    )
    for sizes, launch in zip(SIZES, seen["launches"], strict=True):
        (call,) = kernel.calls(
            *[0] * 8, views=sizes["views"], queries=sizes["tokens"], pixels=pixels
        )
        assert launch["out_shape"] == [sizes["tokens"], d]
        check_launch(seen, launch, call, inputs=8)


@pytest.mark.parametrize("name", GRIDS)
def test_sampling_is_launched_as_the_kernel_plans_it(told, name):
    case, seen = GRIDS[name], told[name]
    assert "error" not in seen, seen
    check_formats(seen, case)
    attributes = case["attributes"]
    kernel = kernels.GridSample(
        padding="border" if attributes["border"] else "zeros",
        align_corners=bool(attributes["align_corners"]),
    )
    for sizes, launch in zip(SIZES, seen["launches"], strict=True):
        shape, grid = ([sizes.get(d, d) for d in each] for each in case["shapes"])
        (call,) = kernel.calls(0, 0, 0, shape=tuple(shape), points=int(np.prod(grid[1:-1])))
        assert launch["out_shape"] == [*shape[:2], *grid[1:-1]]
        check_launch(seen, launch, call, inputs=2)


def check_formats(seen, case):
    assert seen["out_type"] == case["types"][0]
    assert seen["types"] == [*case["types"], case["types"][0]]
    assert set(seen["formats"]) == {"LINEAR"}


def check_launch(seen, launch, call, inputs):
    assert seen["entry"] == call.entry
    assert f".entry {call.entry}(" in seen["ptx"] and ".target sm_89" in seen["ptx"]
    assert tuple(launch["grid"]) == call.launch.grid
    assert tuple(launch["block"]) == call.launch.block
    assert launch["shared_bytes"] == call.launch.shared_bytes
    assert launch["integers"] == [int(number) for number in call.arguments[inputs:-1]]
    # One parameter for each tensor and each integer, in that order.
    declared = seen["ptx"].split(f".entry {call.entry}(")[1].split(")")[0].count(".param")
    assert declared == inputs + len(launch["integers"]) + 1


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_the_kernels_do_not_take(told, name):
    import re

    assert re.match(REFUSED[name][1], told[name]["error"]), told[name]
