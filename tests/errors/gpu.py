"""GPUs: drivers, backends, kernels and engines, brought about without one."""

import importlib.metadata
import sys
from types import SimpleNamespace

import numpy as np
from doubles.device import STREAM, DeviceDouble, use_gpu_double
from doubles.tensorrt_builder import BuilderDouble
from doubles.tensorrt_runtime import make_module
from errors.case import Case
from samples.gpu_artifacts import make_artifact, segment
from samples.gpu_bundles import write_tiny_gpu_bundle

from geolrm import Engine, Gaussians, GeoLRMError, InputError
from geolrm.commands.info import info
from geolrm.engine.backends.cuda import onnxruntime_segment, tensorrt_segment
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.backends.cuda.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.backends.cuda.self_attention import SelfAttention
from geolrm.engine.backends.engine_identity import check_engine, choose_target
from geolrm.engine.backends.selection import check_artifact, segment_files, select_backend
from geolrm.engine.bundle.bundle import Bundle, StoredSegment
from geolrm.engine.bundle.manifest import GpuIdentity, Range
from geolrm.engine.bundle.plan import Tensor
from geolrm.engine.cuda import compiler, device, faults, launch
from geolrm.engine.errors import BundleError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.rendering import cuda as rendering
from geolrm.engine.rendering.cuda_gradients import SplatDifferentiator
from geolrm.engine.rendering.cuda_rasterizer import (
    DeviceRenders,
    SplatRasterizer,
    _check_device_array,
)
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.splat_plan import SplatPlan
from geolrm.engine.system import extras, present_gpu, usable_gpu
from geolrm.engine.system.present_gpu import PresentGpu
from geolrm.export import backend_choice, engine_builder
from geolrm.export.backend_choice import Target
from geolrm.plugins import kernel_description

ADA = PresentGpu("RTX 4070", "sm_89", 46, 12_000_000_000)
HOPPER = PresentGpu("H200", "sm_90", 132, 141_000_000_000)
PACKAGES = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx")
PLUGIN_PACKAGES = dict.fromkeys(("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc"), "13.0")


def raising(error):
    def call(*_, **__):
        raise error

    return call


# The driver


def driver(init=0, count=1, answer=0):
    """One that answers with these CUDA errors, or None."""

    def get_count(reference):
        reference._obj.value = count
        return 0

    found = SimpleNamespace(
        cuInit=lambda flags: init, cuDeviceGetCount=get_count, cuDeviceGet=lambda *_: answer
    )

    def trigger(place, index=0):
        place.patch.setattr(present_gpu, "_driver", lambda: None if init is None else found)
        return present_gpu.present_gpu(index)

    return trigger


# The choice of a backend


def artifact_here(artifact, asked="asked", index=0, missing=None, **machine):
    def trigger(place):
        use_gpu_double(place.patch, **({"packages": PACKAGES} | machine))
        if missing is not None:
            place.patch.setattr(usable_gpu, "present_gpu", raising(GeoLRMError(missing)))
        return check_artifact(artifact, asked, index)

    return trigger


def artifact_without_a_file():
    artifact = make_artifact("tensorrt")
    artifact.stages["proposal"].steps.append(segment("more", {"sm_120": "more.plan"}))
    return artifact


def export_choice(backend, precision=None, sm=None, gpu=ADA, packages=()):
    def trigger(place):
        present = raising(GeoLRMError("no NVIDIA driver was found")) if gpu is None else lambda: gpu
        place.patch.setattr(backend_choice, "present_gpu", present)
        place.patch.setattr(extras, "installed_version", dict(packages).get)
        return backend_choice.choose(backend, precision, sm)

    return trigger


# Memory and the device


def too_little_memory(place):
    devices = use_gpu_double(place.patch, packages=PACKAGES)
    engine = Engine(write_tiny_gpu_bundle(place.tmp / "bundle"))
    need = plan_memory(engine.manifest, engine.manifest.gpu, 21, 100).of_a_run
    devices[0].free_bytes = lambda: need
    return engine._backend.check_memory(21, 512)


def full(place):
    full_gpu = SimpleNamespace(allocate=raising(MemoryError("CUDA_ERROR_OUT_OF_MEMORY")))
    return device.CudaDevice._allocate(SimpleNamespace(_device=full_gpu, _stream=0), 5 << 30)


def no_device(place):
    class Device:
        set_current = staticmethod(raising(RuntimeError("CUDA_ERROR_NO_DEVICE")))

    place.patch.setattr(launch, "require_packages", lambda: None)
    place.patch.setitem(sys.modules, "cuda.core", SimpleNamespace(Device=Device))
    return launch.Launcher()


# The compiler


# Not the answer that a kernel compiled before has left.
ASKED_ANEW = compiler.compiler_version.__wrapped__


def nvrtc(call, log=b"", **answers):
    """A call with an NVRTC that answers so."""
    library = {
        "nvrtcResult": SimpleNamespace(NVRTC_SUCCESS=0),
        "nvrtcVersion": lambda: (0, 13, 0),
        "nvrtcCreateProgram": lambda *_: (0, 1),
        "nvrtcCompileProgram": lambda *_: (6,),
        "nvrtcGetProgramLogSize": lambda _: (0, len(log)),
        "nvrtcGetProgramLog": lambda _, out: out.__setitem__(slice(None), log) or (0,),
        "nvrtcDestroyProgram": lambda _: (0,),
    } | answers

    def trigger(place):
        place.patch.setattr(compiler, "require_packages", lambda: None)
        place.patch.setattr(compiler, "_output", lambda program, size, get: log)
        bindings = SimpleNamespace(nvrtc=SimpleNamespace(**library))
        place.patch.setitem(sys.modules, "cuda.bindings", bindings)
        return call()

    return trigger


def compiled(arch="sm_89"):
    return compiler.compile_source("rope_indices", arch, cache=False)


def without_kernels_packages(place):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    place.patch.setattr(importlib.metadata, "version", missing)
    return compiler.require_packages()


# Engines and graphs


def onnxruntime(place, providers=None):
    import onnxruntime as ort

    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    place.patch.setattr(ort, "InferenceSession", lambda *_, **__: session)
    return OnnxRuntimeSegment(StoredSegment(place.tmp / "a.onnx", b"graph"), DeviceDouble())


def refused_arena(place):
    import onnxruntime as ort

    place.patch.setattr(onnxruntime_segment, "_load_libraries", lambda ort: None)
    refusal = raising(RuntimeError("no device 7"))
    place.patch.setattr(ort, "create_and_register_allocator_v2", refusal)
    return onnxruntime_segment.share_arena.__wrapped__(7)


def without_cudnn(place):
    import onnxruntime as ort

    place.patch.setattr(onnxruntime_segment.ctypes, "CDLL", raising(OSError("no libcudnn.so.9")))
    place.patch.setattr(ort, "preload_dlls", lambda **_: None, raising=False)
    return onnxruntime_segment._load_libraries(ort)


def failing_run(place):
    segment = object.__new__(OnnxRuntimeSegment)
    segment._inputs, segment._name, segment._options = set(), "a.onnx", None
    segment._session = SimpleNamespace(
        io_binding=lambda: None, run_with_iobinding=raising(RuntimeError("CUDNN failure 3"))
    )
    return segment.bind({}, {}, None).enqueue()


def planned(place):
    use_gpu_double(place.patch, packages=("onnxruntime-gpu",))
    place.patch.setattr(present_gpu, "free_memory", lambda index: 1000)
    return info(str(write_tiny_gpu_bundle(place.tmp / "bundle")), views=4, tokens=64)


def damaged_graph(place):
    import onnxruntime as ort

    make = ort.InferenceSession
    on_cpu = lambda content, options, providers: make(content, options)  # noqa: E731
    place.patch.setattr(ort, "InferenceSession", on_cpu)
    return OnnxRuntimeSegment(StoredSegment(place.tmp / "a.onnx", b"no graph"), DeviceDouble())


def unloadable(load):
    def trigger(place):
        place.patch.setitem(sys.modules, "tensorrt_rtx", None)
        return load("tensorrt-rtx")

    return trigger


class Refusing:
    """A context of an engine that refuses at one of its steps."""

    def __init__(self, step):
        self.step = step

    def set_input_shape(self, name, shape):
        return self.step != "shape"

    def update_device_memory_size_for_shapes(self):
        return 0

    def set_tensor_address(self, name, address):
        return self.step != "bind"

    def execute_async_v3(self, stream):
        assert stream == STREAM
        return False


def engine(step):
    def trigger(place):
        gpu = DeviceDouble()
        module = make_module(place.tmp, lambda: gpu)
        place.patch.setattr(tensorrt_segment, "load_module", lambda package: module)
        runtime = tensorrt_segment.Runtime("tensorrt-rtx")
        if step == "load":
            return runtime.load(StoredSegment(place.tmp / "a.plan", b"damaged"), gpu)
        context = None if step == "context" else Refusing(step)
        held = SimpleNamespace(create_execution_context=lambda strategy: context)
        segment = tensorrt_segment.TensorRtSegment(runtime, held, "a.plan", gpu)
        arrays = {"x": gpu.upload(np.zeros(4, np.float32))}
        segment.bind(arrays, {}, lambda size: None).enqueue()

    return trigger


def build(parse=None, failure=None):
    def trigger(place):
        builder = BuilderDouble()
        builder.parse_error, builder.build_error = parse, failure
        profile = engine_builder.Profile(Range(1, 3, 21), Range(1, 64, 512))
        target = Target("sm_89", GpuIdentity("sm_89"), present=True)
        builder = engine_builder.EngineBuilder(builder, "tensorrt", target, profile, "fp16")
        return builder.build("proposal", [Tensor("x", "float32", [1])], graph())

    return trigger


def graph():
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    return helper.make_model(helper.make_graph([node], "g", [value], [out])).SerializeToString()


# Splats on a GPU


def splat_array(shape=(4, 3), kind="<f4", strides=None, tail=(3,)):
    held = {"shape": shape, "typestr": kind, "strides": strides}
    array = SimpleNamespace(__cuda_array_interface__=held)
    return lambda place: _check_device_array("means", array, 4, tail)


def other_images(place):
    gpu = DeviceDouble()
    rasterizer = SplatRasterizer(gpu)
    place.patch.setattr(rasterizer, "_scene", lambda gaussians: SimpleNamespace(count=0))
    out = DeviceRenders.empty(gpu, 1, (8, 8))
    return rasterizer.prepare(None, Frame(np.eye(4)[None], np.eye(3)[None], (16, 16)), out=out)


def gradients_of_other_images(place):
    gpu = DeviceDouble()
    frame = Frame(np.eye(4)[None], np.eye(3)[None], (16, 16))
    return SplatDifferentiator(gpu).backward(None, frame, DeviceRenders.empty(gpu, 1, (8, 8)))


def render_without_driver(place):
    place.patch.setattr(
        usable_gpu, "present_gpu", raising(GeoLRMError("no NVIDIA driver was found"))
    )
    one = np.ones((1, 3), np.float32)
    gaussians = Gaussians(one * 0, one[:, 0] / 2, one, one[:, [0, 0, 0, 0]], one)
    return gaussians.render(Cameras.orbit([0], 0, 1.5, 40), (8, 8), backend="cuda")


def other_host_images(place):
    images = DeviceRenders.empty(DeviceDouble(), 1, (8, 8))
    return rendering.fetch(images.alpha.device, images, Renders.empty(1, (4, 4)))


def cuda_error():
    with faults.one_sentence():
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: an address is wrong")


CASES = [
    "The driver",
    Case("no NVIDIA driver was found", "Of libcuda; part of the sentences below.", driver(None)),
    Case("the NVIDIA driver has no GPU", "The card, or CUDA_VISIBLE_DEVICES.", driver(count=0)),
    Case("the NVIDIA driver does not start (CUDA error …)", "Restart, or install it again.",
         driver(999)),
    Case("there is no GPU 3: the NVIDIA driver has 1 GPU, counted from 0", "Of --device.",
         lambda place: driver()(place, 3)),
    Case("the NVIDIA driver does not answer (CUDA error …)", "Restart, or install it again.",
         driver(answer=999)),
    "The choice of a backend",
    Case("backend is …, but the bundle … holds onnxruntime; export it again: geolrm-export …",
         "A bundle for the CPU alone.",
         lambda place: select_backend("cuda", Bundle.open("mini"))),
    Case("device is 3, but there is no GPU 3: …; counted from 0",
         "`CUDA_VISIBLE_DEVICES` hides GPUs, and changes their numbers.",
         artifact_here(make_artifact(), index=3, missing="there is no GPU 3: one; counted from 0"),
         InputError),
    Case("the backend … needs an NVIDIA GPU, but …; install a driver of CUDA 13.0 or later, or …",
         "The reason is one of the above; `auto` gives it, and goes on on the CPU.",
         artifact_here(make_artifact(), missing="no NVIDIA driver was found")),
    Case("the backend … needs a driver of CUDA 13.0 or later, and the NVIDIA driver of this …",
         "`nvidia-smi` shows the version.", artifact_here(make_artifact(), cuda=(12, 4))),
    Case("the backend cuda needs onnxruntime-gpu, which is not installed; run: pip install …",
         "Each backend has an extra.", artifact_here(make_artifact(), packages=())),
    Case("onnxruntime-gpu is installed, but the package onnxruntime lies over it and knows no …",
         "Both put their files into one folder; the one installed last wins.",
         artifact_here(make_artifact(), providers=False)),
    Case("… was built for sm_120; this GPU is sm_89. Rebuild it: …",
         "Engines of TensorRT fit one kind of GPU; --sm of geolrm-export names several.",
         lambda place: choose_target(make_artifact("tensorrt", sm="sm_120"), ADA), BundleError),
    Case("the bundle lacks a file for sm_89. Rebuild it: …", "It was changed after the export.",
         lambda place: segment_files(artifact_without_a_file(), "sm_89")),
    Case("… has no identity in the manifest. Rebuild it: …", "It was changed after the export.",
         lambda place: check_engine("other.plan", make_artifact("tensorrt"), ADA, "tensorrt 1")),
    Case("… was built …; installed is …. Rebuild it: …",
         "By another version of TensorRT, or for another GPU.",
         artifact_here(make_artifact("tensorrt", builder="1.6")), BundleError),
    "Memory and device",
    Case("… views with … anchors need … GB of GPU memory beside the weights, and … GB are free; …",
         "The largest setting that fits follows; geolrm info --views V --tokens N shows it all.",
         too_little_memory),
    Case("out.rgb is float32 …; it must be contiguous float32 …", "Of rendering into arrays.",
         other_host_images, InputError),
    Case("4 views with 64 anchors need … GB of GPU memory beside the weights, and …; not even …",
         "Of geolrm info.", planned),
    Case("--views and --tokens plan the memory of a GPU, and … has no GPU artifact; export it …",
         "Of geolrm info; on the CPU the system lends what is needed.",
         lambda place: info("mini", views=4), InputError),
    Case("output is …; it must be 'numpy' or 'device'", "Where results are handed over.",
         lambda place: place.engine().run([], [], output="torch"), InputError),
    Case("the GPU has no … GB left (…); use fewer views or a smaller --max-tokens, or close what …",
         "Other programs use the GPU, too.", full),
    Case("the GPU reports 700; nothing was reconstructed: start the program again, since a …",
         "A fault of a kernel or of the driver.", lambda place: faults.check((700,))),
    Case("the GPU reports CUDA_ERROR_ILLEGAL_ADDRESS: …; nothing was reconstructed: start the …",
         "A fault of a kernel or of the driver.", lambda place: cuda_error()),
    Case("no CUDA device can be used (…); install an NVIDIA driver of CUDA 13 or later, or …",
         "The driver is too old, or the GPU is in use.", no_device),
    "Engines and graphs",
    Case("ONNX Runtime cannot load …: …", "A damaged graph, or one for another version.",
         damaged_graph),
    Case("onnxruntime-gpu … does not load its CUDA provider, which needs CUDA 13 and cuDNN 9; …",
         "Its libraries are missing.", onnxruntime),
    Case("onnxruntime-gpu … does not load its CUDA provider, which needs CUDA 13 and cuDNN 9 …",
         "One that is missing is named.", without_cudnn),
    Case("onnxruntime-gpu … does not load its CUDA provider, which needs CUDA … (no device 7); …",
         "Of the GPU that --device names.", refused_arena),
    Case("ONNX Runtime cannot run …: …", "Its reason follows.", failing_run),
    Case("tensorrt-rtx is installed but does not load: …", "A library is missing; it follows.",
         unloadable(tensorrt_segment.load_module)),
    Case("tensorrt-rtx … cannot load a.plan: …", "The reason of TensorRT follows.",
         engine("load")),
    Case("tensorrt-rtx cannot take x with shape … in a.plan: …",
         "The engine is for other numbers of views or anchors.", engine("shape")),
    Case("tensorrt-rtx cannot bind x in a.plan: …", "The reason of TensorRT follows.",
         engine("bind")),
    Case("tensorrt-rtx cannot run a.plan: …", "The reason of TensorRT follows.", engine("run")),
    Case("tensorrt-rtx cannot create a context for a.plan: …", "Mostly too little memory.",
         engine("context")),
    "The compiler of kernels",
    Case("a CUDA kernel needs …, which is not installed; run: pip install 'geolrm[gpu]'",
         "An extra.", without_kernels_packages),
    Case("the CUDA compiler cannot be loaded (…); run: pip install --force-reinstall …",
         "Its library is missing.",
         nvrtc(ASKED_ANEW, nvrtcVersion=raising(RuntimeError("no library")))),
    Case("NVRTC does not tell its version: …", "It is damaged: install it again.",
         nvrtc(ASKED_ANEW, nvrtcVersion=lambda: (5, 0, 0))),
    Case("arch is …; it must be sm_NN or compute_NN, such as sm_90", "Of a GPU.",
         lambda place: compiled("ada")),
    Case("arch is …; NVRTC … does not compile for it", "Too old, or newer than this compiler.",
         nvrtc(compiled, b"nvrtc: error: invalid value for --gpu-architecture (-arch)")),
    Case("rope_indices.cu does not compile for sm_89: …", "The compiler's reason follows.",
         nvrtc(compiled, b"error: expected a declaration")),
    Case("nvrtcCreateProgram failed: …", "Of the compiler: mostly too little memory.",
         nvrtc(compiled, nvrtcCreateProgram=lambda *_: (1, 0))),
    "What kernels can hold",
    Case("value is stored as …; it must be one of …", "Of a kernel.",
         lambda place: DeformableCrossAttention(2, 8, 1, 1, value="int8")),
    Case("heads is 0; it must be 1 or more", "Of a kernel.",
         lambda place: DeformableCrossAttention(0, 8, 1, 1)),
    Case("shapes is …; it must be one of int64, int32", "Of a kernel.",
         lambda place: DeformableCrossAttention(2, 8, 1, 1, shapes="int8")),
    Case("3 heads of 1001 channels are too many for a block; at most … channels fit when loads …",
         "Of a kernel: choose a width that 8 divides.",
         lambda place: DeformableCrossAttention(3, 1001, 1, 1)),
    Case("2000 heads do not fit the shared memory of a block", "Of a kernel.",
         lambda place: DeformableCrossAttention(2000, 1, 1, 1)),
    Case("head_dim is 32; the kernel is for 24 or 48", "Of self-attention, in a bundle's manifest.",
         lambda place: SelfAttention(2, 32)),
    Case("a view of … pixels is too small; the kernel reads pixels in pairs, and needs 3 or more",
         "Export with a larger image size.",
         lambda place: DeformableCrossAttention(16, 48, 2, 8).sizes(1, 1, 2)),
    Case("a view of … pixels and … channels is too large; the kernel's indices need fewer than …",
         "Export with a smaller image size.",
         lambda place: DeformableCrossAttention(16, 48, 2, 8).sizes(1, 1, 2_800_000)),
    Case("padding is …; it must be 'zeros' or 'border'", "Of a kernel.",
         lambda place: GridSample(padding="reflection")),
    Case("input has shape …; it must be [N, C, H, W] or [N, C, D, H, W]", "Of a kernel.",
         lambda place: GridSample().sizes((2, 3), 1)),
    Case("input has sides …; one channel must have fewer than 2^31 values", "Of a kernel.",
         lambda place: GridSample().sizes((1, 1 << 16, 1 << 16), 1)),
    Case("side is …; the grid must have 2 to 1024 voxels a side", "Of a kernel.",
         lambda place: SelectAnchors(2000)),
    Case("limit is 9; it must lie in [1, 8], the grid's voxels", "Of a kernel.",
         lambda place: SelectAnchors(2).calls(*[0] * 6, limit=9)),
    "Splats",
    Case("rendering with the backend cuda needs an NVIDIA GPU, but …; install a driver of CUDA …",
         "It was asked for; `auto` renders on the CPU what is not on a GPU already.",
         render_without_driver),
    Case("size is 0x8; sides must lie in [1, …] px. Render larger images in parts",
         "The CPU renders larger ones, and `auto` lets it, with a warning.",
         lambda place: SplatPlan.of(1, 1, (0, 8))),
    Case("… splats are too many for the GPU; at most … fit its indices. Split the scene",
         "Of SplatRasterizer.", lambda place: SplatPlan.of(1 << 30, 1, (8, 8))),
    Case("out holds images …; 1 views of 16x16 px need [1, 16, 16]", "Of SplatRasterizer.",
         other_images),
    Case("the gradients are of images [1, 8, 8]; the frame has [1, 16, 16]",
         "Of SplatDifferentiator.", gradients_of_other_images),
    Case("means has shape …; with 4 means it must be [N, 3]", "Of SplatRasterizer.",
         splat_array((4, 2))),
    Case("means has type <f8; it must be float32 ('<f4')", "Of SplatRasterizer.",
         splat_array(kind="<f8")),
    Case("means is not contiguous on the device; pass a contiguous copy", "Of SplatRasterizer.",
         splat_array(strides=(24, 8))),
    "geolrm-export",
    Case("--backend is …; it must be one of …", "Of geolrm-export.", export_choice("vulkan")),
    Case("--sm is for --backend tensorrt-rtx; cuda graphs run on every GPU", "Of geolrm-export.",
         export_choice("cuda", sm="89")),
    Case("--buckets is for --backend tensorrt-rtx and tensorrt, whose work is captured for a "
         "number of anchors; cuda captures nothing: leave it out", "Of geolrm-export.",
         lambda place: backend_choice.choose("cuda", None, None, buckets=True)),
    Case("--sm is '86,90'; give some of …, each once, with commas between", "Of geolrm-export.",
         export_choice("tensorrt-rtx", sm="86,90", packages={"tensorrt-rtx": "1.7"})),
    Case("--bf16 is for GPUs, and the backend is onnxruntime; use --fp16", "Of geolrm-export.",
         export_choice("onnxruntime", "bf16")),
    Case("--fp32 does not go with --backend tensorrt, whose attention runs in half precision …",
         "Of geolrm-export.", export_choice("tensorrt", "fp32")),
    Case("--backend tensorrt-rtx needs tensorrt-rtx, which is not installed; run: pip install …",
         "Of geolrm-export.", export_choice("tensorrt-rtx", sm="89")),
    Case("--backend tensorrt needs tensorrt 11.4 or newer, and … is installed; run: pip install …",
         "Of geolrm-export.", export_choice("tensorrt", packages={"tensorrt": "10.14.1"})),
    Case("--backend tensorrt needs cuda-core, which is not installed; run: pip install …",
         "Of geolrm-export.", export_choice("tensorrt", packages={"tensorrt": "11.4.0"})),
    Case("--backend tensorrt builds on the GPU of this machine, but …; build without one: …",
         "Of geolrm-export.", export_choice(
             "tensorrt", gpu=None, packages={"tensorrt": "11.4.0", **PLUGIN_PACKAGES})),
    Case("--backend tensorrt-rtx builds for the GPU of this machine, but …; say for which: …",
         "Of geolrm-export.",
         export_choice("tensorrt-rtx", gpu=None, packages={"tensorrt-rtx": "1.7"})),
    Case("this GPU is sm_90, for which TensorRT for RTX does not build (…); use --backend cuda",
         "Of geolrm-export.",
         export_choice("tensorrt-rtx", gpu=HOPPER, packages={"tensorrt-rtx": "1.7"})),
    Case("tensorrt-rtx is installed but does not load: …; …", "Of geolrm-export.",
         unloadable(engine_builder.load_tensorrt)),
    Case("tensorrt … cannot read proposal: GridSample node_7: …", "The builder's reason follows.",
         build(parse=("GridSample", "node_7", "no plugin of that name"))),
    Case("tensorrt … cannot build proposal for sm_89: …", "The builder's reason follows.",
         build(failure="out of memory")),
    Case("a side that a plugin's kernel is built for is dynamic; export it again",
         "Of a graph that was changed after the export.",
         lambda place: kernel_description.constant(SimpleNamespace(is_constant=False))),
    Case("a plugin's tensor is …; it must be one of …", "Of a graph that was changed.",
         lambda place: kernel_description._known(
             SimpleNamespace(dtype=SimpleNamespace(name="INT4")), {"HALF": "float16"})),
]  # fmt: skip
