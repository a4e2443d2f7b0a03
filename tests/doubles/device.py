"""A device on the host: its memory is the host's, its kernels run by emulation, and nothing runs
before somebody waits, so that what forgets to wait reads garbage. Other streams, of other
libraries, run only as far as something waits for them.
"""

import ctypes
import functools
import json
import threading
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort

from csrc.cuda import emulation
from geolrm.engine.backends.cuda.segments import Binding
from geolrm.engine.bundle.manifest import WEIGHTS_NAME
from geolrm.engine.cuda.array import DeviceArray, nbytes
from geolrm.engine.cuda.pinned import PinnedArrays, is_pinned
from geolrm.engine.cuda.pool import Pool
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system import extras
from geolrm.engine.system.present_gpu import PresentGpu

GPU = PresentGpu("GPU double", "sm_89", 128, 24 << 30)
STREAM = 0x57
GARBAGE = 0xFF  # NaN in every float type


class DeviceDouble:
    def __init__(self, index=0, free=24 << 30):
        self.index, self.stream, self.free = index, STREAM, free
        self.dlpack_device = (1, 0)  # the CPU, whose libraries can read it
        self.lock, self.attached = threading.RLock(), {}
        self.pool = Pool(self.allocate, self.wait_for_others)
        self.queue, self.log, self.allocated = Stream(), [], []
        self.host = PinnedArrays(PinnedDouble(self.log), lambda: None)
        self.others, self.memories = {}, []  # streams by handle
        self.capturing, self.captures = None, True

    def do(self, event, action, *, silent=False):
        """Queue, or record where a capture is under way."""
        if not silent:
            self.log.append(event if self.capturing is None else ("captured", event))
        (self.queue.add if self.capturing is None else self.capturing.append)(action)

    def empty(self, shape, dtype):
        assert self.capturing is None, "a capture allocates nothing"
        loan = self.pool.take(nbytes(shape, dtype))
        # What ran before in stream order may still use the memory.
        raw = (ctypes.c_uint8 * loan.nbytes).from_address(loan.address)
        self.do("poison", lambda: np.frombuffer(raw, np.uint8).fill(GARBAGE), silent=True)
        return DeviceArray(loan.address, tuple(shape), dtype, self, loan)

    def allocate(self, size):
        if sum(self.allocated) + size > self.free:
            raise GeoLRMError("the GPU double is full")
        self.allocated.append(size)
        memory = np.empty(size + 256, np.uint8)
        self.memories.append(memory)  # what is queued knows addresses alone
        return memory.ctypes.data + -memory.ctypes.data % 256, memory

    def upload(self, array):
        target = self.empty(array.shape, array.dtype.name)
        staged = np.array(array, order="C")
        memory = view(target)
        self.do(("upload", staged.nbytes), lambda: memory.__setitem__(..., staged))
        return target

    def download(self, array, out):
        assert out.nbytes == array.nbytes
        out.view(np.uint8).fill(GARBAGE) if out.ndim else None
        memory = view(array)
        kind = "direct download" if is_pinned(out) else "download"
        self.do((kind, out.nbytes), lambda: out.__setitem__(..., memory))

    def empty_on_host(self, shape, dtype):
        return self.host.empty(shape, dtype)

    def copy(self, source, target):
        read, written = view(source), view(target)
        self.do(("copy", source.nbytes), lambda: written.__setitem__(..., read))

    def clear(self, array):
        memory = view(array)
        self.do("clear", lambda: memory.fill(0))

    def launch(self, calls):
        for call in calls:
            self.do(("launch", call.entry), lambda call=call: emulation.run([call]))

    def capture(self, enqueue):
        self.log.append("capture")
        self.capturing = graph = []
        try:
            enqueue()
            if not self.captures:
                return None
        finally:
            self.capturing = None

        def replay():
            self.log.append("replay")
            for action in graph:
                self.queue.add(action)

        return replay

    def synchronize(self):
        assert self.capturing is None, "a capture waits for nothing"
        self.log.append("synchronize")
        self.queue.run(self.queue.total)

    def order_before(self, stream):
        self.log.append(("order_before", stream))
        self.other(stream).add(functools.partial(self.queue.run, self.queue.total))

    def other(self, stream):
        return self.others.setdefault(stream, Stream())

    def wait_for_others(self):
        self.log.append("wait for others")
        for stream in self.others.values():
            self.queue.add(functools.partial(stream.run, stream.total))
        return True

    def free_bytes(self):
        return self.free

    def release(self):
        self.log.append("release")
        self.pool.release()
        self.synchronize()

    def engage(self):
        self.pool.start_keeping()
        self.host.start_keeping()

    def retire(self):
        self.pool.stop_keeping()
        self.host.stop_keeping()

    def count(self, kind):
        return sum(e == kind or (isinstance(e, tuple) and e[0] == kind) for e in self.log)


class PinnedDouble:
    """Pinned memory, which is the host's; each piece that is pinned is told."""

    def __init__(self, log):
        self.log = log

    def allocate(self, size):
        self.log.append(("pin", size))
        memory = np.empty(size + 256, np.uint8)
        address = memory.ctypes.data + -memory.ctypes.data % 256
        return SimpleNamespace(handle=address, size=size, close=lambda: None, memory=memory)


class Stream:
    """What is queued, and how far it has run."""

    def __init__(self):
        self.waiting, self.done = [], 0

    @property
    def total(self):
        return self.done + len(self.waiting)

    def add(self, action):
        self.waiting.append(action)

    def run(self, until):
        while self.done < until:
            self.done += 1
            self.waiting.pop(0)()


def view(array):
    """The memory of a device array as NumPy."""
    if array.nbytes == 0:
        return np.empty(array.shape, array.dtype)
    raw = (ctypes.c_uint8 * array.nbytes).from_address(array.address)
    return np.frombuffer(raw, array.dtype).reshape(array.shape)


class HostSession:
    """A graph on ONNX Runtime's CPU provider, run where the double of a device's memory is."""

    def __init__(self, model, folder=None, weights=b""):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        if folder is not None:
            key = "session.model_external_initializers_file_folder_path"
            options.add_session_config_entry(key, str(folder))
        if weights:
            options.add_external_initializers_from_files_in_memory(
                [WEIGHTS_NAME], [weights], [len(weights)]
            )
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name for value in self.session.get_inputs()}

    def run(self, inputs, outputs):
        binding = self.session.io_binding()
        for name, array in inputs.items():
            if name in self.inputs:
                kind = np.dtype(array.dtype)
                binding.bind_input(name, "cpu", 0, kind, array.shape, array.address)
        for name, array in outputs.items():
            kind = np.dtype(array.dtype)
            binding.bind_output(name, "cpu", 0, kind, array.shape, array.address)
        self.session.run_with_iobinding(binding)


class SegmentDouble:
    """In place of ONNX Runtime's CUDA provider."""

    capturable = False

    def __init__(self, stored, device):
        self.session = HostSession(stored.content, weights=stored.weights)
        self.device, self.name = device, stored.path.name

    def bind(self, inputs, outputs, scratch, *, lasting=False):
        def enqueue():
            self.device.do(
                ("segment", self.name), lambda: self.session.run(dict(inputs), dict(outputs))
            )

        return Binding(enqueue, lambda: False)


class LoaderDouble:
    load = staticmethod(SegmentDouble)

    def keep(self):
        pass


def use_gpu_double(monkeypatch, *, packages=(), gpu=GPU, cuda=(13, 0), providers=True):
    """Let this machine seem to have a GPU; returns the devices that engines open."""
    import onnxruntime

    from geolrm.engine.backends.cuda import segment_loaders
    from geolrm.engine.cuda import device
    from geolrm.engine.system import usable_gpu

    opened = []

    @functools.cache
    def open_device(index):
        opened.append(DeviceDouble(index))
        return opened[-1]

    installed = {"cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", *packages}
    monkeypatch.setattr(usable_gpu, "present_gpu", lambda index=0: gpu)
    monkeypatch.setattr(usable_gpu, "driver_cuda_version", lambda: cuda)
    monkeypatch.setattr(
        extras, "installed_version", lambda name: "1.7.1" if name in installed else None
    )
    names = ["CUDAExecutionProvider"] if providers else []
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [*names, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(device, "open_device", open_device)
    loader = segment_loaders.loader
    monkeypatch.setattr(
        segment_loaders,
        "loader",
        lambda name, *cache: LoaderDouble() if name == "cuda" else loader(name, *cache),
    )
    return opened


def rewrite_manifest(folder, change):
    """Edit ``manifest.json`` as a dictionary, and make its checksum good again."""
    from geolrm.engine.bundle import manifest as manifests

    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_bytes(manifests.encode(manifests.decode(json.dumps(content).encode())))
