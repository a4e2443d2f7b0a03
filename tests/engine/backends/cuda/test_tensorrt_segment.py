"""What is asked of TensorRT, at build and at run time, against the signatures of its bindings."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[3]
CALLS = {  # by class: the method, and the arguments that we give it
    "Runtime": {"deserialize_cuda_engine": ["serialized_engine"]},
    "ICudaEngine": {"create_execution_context": ["ExecutionContextAllocationStrategy"]},
    "IExecutionContext": {
        "set_input_shape": ["name", "shape"],
        "update_device_memory_size_for_shapes": [],
        "set_device_memory": ["memory", "size"],
        "set_tensor_address": ["name", "memory"],
        "execute_async_v3": ["stream_handle"],
    },
    "Builder": {
        "create_network": ["flags"],
        "create_builder_config": [],
        "create_optimization_profile": [],
        "build_serialized_network": ["network", "config"],
    },
    "IBuilderConfig": {
        "clear_flag": ["flag"],
        "add_optimization_profile": ["profile"],
        "create_timing_cache": ["serialized_timing_cache"],
        "set_timing_cache": ["cache", "ignore_mismatch"],
        "progress_monitor": None,  # a property
    },
    "ITimingCache": {"serialize": []},
    "IOptimizationProfile": {"set_shape": ["input", "min", "opt", "max"]},
    "OnnxParser": {"parse": ["model"], "get_error": ["index"], "num_errors": None},
    "ParserError": {"node_operator": [], "node_name": [], "desc": []},
    "IProgressMonitor": {
        "phase_start": ["phase_name", "parent_phase", "num_steps"],
        "phase_finish": ["phase_name"],
        "step_complete": ["phase_name", "step"],
    },
    "ILogger": {"log": ["severity", "msg"]},
}
MEMBERS = {
    "ExecutionContextAllocationStrategy": ["USER_MANAGED"],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
    "BuilderFlag": ["TF32"],
}
OF_RTX = {
    "IExecutionContext": {"is_stream_capturable": ["stream"]},
    "IBuilderConfig": {
        "set_compute_capability": ["compute_capability", "index"],
        "num_compute_capabilities": None,
        "set_flag": ["flag"],
    },
    "IRuntimeConfig": {"dynamic_shapes_kernel_specialization_strategy": None},
}
MEMBERS_OF_RTX = {
    "BuilderFlag": ["REQUIRE_USER_ALLOCATION"],
    "DynamicShapesKernelSpecializationStrategy": ["EAGER", "LAZY"],
}
TELL = """
import json, sys
from pathlib import Path
from doubles import tensorrt_plugin_builds as plugin_builds
if sys.argv[1] == "tensorrt":
    plugin_builds.build_library_doubles(Path(sys.argv[2]))
    trt = plugin_builds.load(Path(sys.argv[2]))
else:
    import tensorrt_rtx as trt
asked = json.loads(sys.argv[3])
def text(kind, name):
    found = getattr(getattr(trt, kind, None), name, None)
    return None if found is None else (found.__doc__ or "")
told = {
    "version": trt.__version__,
    "calls": {k: {name: text(k, name) for name in names} for k, names in asked["calls"].items()},
    "members": {
        k: list(getattr(getattr(trt, k, None), "__members__", ())) for k in asked["members"]
    },
    "severities": list(trt.ILogger.Severity.__members__),
    "capabilities": list(getattr(trt, "ComputeCapability", trt.ILogger.Severity).__members__),
}
print("\\nRESULT" + json.dumps(told))
"""


def told(name, folder):
    asked = {"calls": {**CALLS}, "members": [*(MEMBERS | MEMBERS_OF_RTX)]}
    for kind, names in OF_RTX.items():
        asked["calls"][kind] = {**CALLS.get(kind, {}), **names}
    done = subprocess.run(
        [sys.executable, "-c", TELL, name, str(folder), json.dumps(asked)], cwd=TESTS,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("\nRESULT")[1])


def check(calls, found):
    for kind, methods in calls.items():
        for method, arguments in methods.items():
            text = found[kind][method]
            assert text is not None, f"{kind}.{method} is not there"
            if arguments is None or "(" not in text:
                continue
            given = set(re.findall(r"(\w+):", text)) | set(re.findall(r"\.(\w+)", text))
            missing = [argument for argument in arguments if argument not in given]
            assert not missing, (kind, method, missing, text)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def bindings(request, tmp_path):
    module = {"tensorrt": "tensorrt_bindings", "tensorrt-rtx": "tensorrt_rtx"}[request.param]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    if request.param == "tensorrt" and sys.platform != "linux":
        pytest.skip("the doubles of TensorRT's libraries are for Linux")
    return request.param, told(request.param, tmp_path)


def test_every_call_is_known_to_the_bindings(bindings):
    name, found = bindings
    check(CALLS, found["calls"])
    for kind, members in MEMBERS.items():
        assert set(members) <= set(found["members"][kind])
    assert {"ERROR", "INTERNAL_ERROR"} <= set(found["severities"])
    capturable = found["calls"]["IExecutionContext"]["is_stream_capturable"]
    if name == "tensorrt-rtx":
        check(OF_RTX, found["calls"])
        for kind, members in MEMBERS_OF_RTX.items():
            assert set(members) <= set(found["members"][kind])
        assert {"SM75", "SM80", "SM86", "SM89", "SM120", "SM121"} <= set(found["capabilities"])
    else:  # TensorRT has no such question: it needs none, and the run time asks only where it can
        assert capturable is None and found["version"].startswith("11.")
