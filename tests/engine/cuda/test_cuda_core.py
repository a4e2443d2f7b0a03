"""NVIDIA's own packages, as they are installed, take every call of ours: on the driver double."""

import importlib.util
import subprocess
import sys

import pytest
from doubles import driver as driver_double

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the double of the driver is for Linux"),
]

DEVICE = """
import numpy as np
from geolrm.engine.cuda.device import open_device
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.present_gpu import driver_cuda_version, present_gpu

gpu = present_gpu()
assert (gpu.name, gpu.sm, gpu.multiprocessors) == ("GPU double", "sm_90", 132), gpu
assert driver_cuda_version() == (13, 0)
device = open_device(0)
assert device._launcher.arch == "sm_90"
array = np.arange(12, dtype=np.float32).reshape(3, 4)
placed = device.upload(array)
assert placed.address % 256 == 0
np.testing.assert_array_equal(placed.numpy(), array)
np.testing.assert_array_equal(placed[1:3].numpy(), array[1:3])
other = device.empty((3, 4), "float32")
device.copy(placed, other)
device.clear(placed)
assert not placed.numpy().any() and (other.numpy() == array).all()
replay = device.capture(lambda: device.copy(other, placed))
assert not placed.numpy().any()
replay()
np.testing.assert_array_equal(placed.numpy(), array)
del placed, other, replay
device.release()
assert device._pool.idle_bytes == 0
results = device.empty_on_host((1 << 18,), "float32")  # pinned: written without a copy
ones = device.upload(np.ones(1 << 18, np.float32))
device.download(ones, results)
assert not device._downloads and len(device._written) == 1
device.synchronize()
assert (results == 1).all() and not device._written and device._host.lent_bytes == 1 << 20
del results
assert device._host.lent_bytes == 0
device.upload(np.zeros(5 << 20, np.uint8))  # more than the first staging buffer holds
free = device.free_bytes()
assert 0 < free <= 1 << 30, free
try:
    device.empty((1 << 31,), "uint8")
except GeoLRMError as error:
    assert str(error).startswith("the GPU has no 2.15 GB left (CUDA_ERROR_OUT_OF_MEMORY"), error
else:
    raise AssertionError("memory beyond the GPU's was given")
"""

KERNELS = """
from doubles import driver as driver_double
driver_double.use_kernels()
import numpy as np
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.cuda.device import open_device
from geolrm.engine.anchors import select_anchors
from geolrm.engine.geometry.voxel_grid import voxel_axis

device = open_device(0)
logits = np.random.default_rng(0).normal(-0.5, 1, (8, 8, 8)).astype(np.float32)
kernel, limit = SelectAnchors(8), 100
placed = [device.upload(logits), device.upload(voxel_axis(8)),
          device.empty((kernel.state_bytes // 4,), "int32"),
          device.empty((kernel.counts_bytes,), "uint8"), device.empty((limit,), "int32"),
          device.empty((limit, 3), "float32")]
device.clear(placed[2])
calls = kernel.calls(*(array.address for array in placed), limit=limit, seed=5)
device.launch(calls)
expected = select_anchors(logits, limit, seed=5)
np.testing.assert_array_equal(placed[4].numpy(), expected.voxels)
def again():
    device.clear(placed[2])
    device.launch(calls)
frame = device.capture(again)
device.clear(placed[4])
assert not placed[4].numpy().any()
frame()
np.testing.assert_array_equal(placed[4].numpy(), expected.voxels)
"""


def test_memory_copies_graphs_and_errors():
    driver_double.run(DEVICE, DRIVER_DOUBLE_MEMORY=str(1 << 30))


def test_kernels_get_their_arguments_and_their_geometry(tmp_path):
    """An emulated kernel computes the right thing only if every argument has the right width."""
    log = tmp_path / "log"
    driver_double.run(KERNELS, log=log)
    told = log.read_text().splitlines()
    assert not [line for line in told if line.startswith("unknown call")]
    launched = [line for line in told if line != "graph"]
    assert len(launched) == 2 * 11 and told.count("graph") == 1
    assert launched[:2] == ["count_digits 1 1 1 256 1 1 0", "choose_digit 1 1 1 256 1 1 0"]
    assert launched[:11] == launched[11:]


def test_the_gpu_tests_themselves_pass_where_kernels_are_emulated():
    """All but whole engines, which have no provider there."""
    operators = ("deformable_cross_attention", "grid_sample", "query_order", "select_anchors")
    files = ["tests/gpu", *(f"tests/csrc/test_{name}.py" for name in operators)]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "doubles.kernels", *files]
    command += ["-k", "not engine and not backend and not read_in_place"]
    done = subprocess.run(
        command, env=driver_double.environment(), cwd=driver_double.TESTS.parent,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    last = done.stdout.splitlines()[-1]
    assert int(last.split(" passed")[0].split()[-1]) >= 12 and "skipped" not in last, last
