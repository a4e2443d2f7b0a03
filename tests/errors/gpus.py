"""Running and drawing on GPUs."""

import numpy as np
from errors.case import Case
from fake_device import use_fake_gpu
from gpu_bundles import write_tiny_gpu_bundle
from gpu_parts import make_part

from geolrm import Engine, Gaussians, InputError
from geolrm.commands.info import info
from geolrm.engine import backend_selection
from geolrm.engine.backend_selection import check_part
from geolrm.engine.cameras import Cameras
from geolrm.engine.cuda.memory_plan import plan_memory
from geolrm.engine.errors import BundleError, GeoLRMError

ALL = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx")


def no_driver(place):
    def missing(index=0):
        raise GeoLRMError("no NVIDIA driver was found")

    place.patch.setattr(backend_selection, "present_gpu", missing)


def without_driver(place):
    no_driver(place)
    return check_part(make_part(), "asked")


def no_such_device(place):
    def missing(index=0):
        raise GeoLRMError(f"there is no GPU {index}: the NVIDIA driver has 1 GPU, counted from 0")

    place.patch.setattr(backend_selection, "present_gpu", missing)
    return check_part(make_part(), "asked", 3)


def on_a_gpu(part, **machine):
    def trigger(place):
        use_fake_gpu(place.patch, **{"packages": ALL, **machine})
        return check_part(part, "asked")

    return trigger


def too_little_memory(place):
    devices = use_fake_gpu(place.patch, packages=ALL)
    engine = Engine(write_tiny_gpu_bundle(place.tmp / "bundle"))
    need = plan_memory(engine.manifest, engine.manifest.gpu, 21, 100).of_a_run
    devices[0].free_bytes = lambda: need
    return engine._backend.check_memory(21, 512)


def draw_without_driver(place):
    no_driver(place)
    one = np.ones((1, 3), np.float32)
    gaussians = Gaussians(one * 0, one[:, 0] / 2, one, one[:, [0, 0, 0, 0]], one)
    return gaussians.render(Cameras.orbit([0], 0, 1.5, 40), (8, 8), backend="cuda")


CASES = [
    Case(
        "the backend … needs an NVIDIA GPU, but …; install a driver of CUDA … or later, or use the "
        "backend onnxruntime",
        "`auto` goes on on the CPU and gives this as its reason.",
        without_driver,
    ),
    Case(
        "device is …, but there is no GPU …: the NVIDIA driver has …, counted from 0",
        "`CUDA_VISIBLE_DEVICES` hides GPUs, and changes their numbers.",
        no_such_device,
        InputError,
    ),
    Case(
        "the backend … needs a driver of CUDA … or later, and the NVIDIA driver of this machine "
        "supports CUDA …; update the driver, or use the backend onnxruntime",
        "`nvidia-smi` shows the same number.",
        on_a_gpu(make_part(), cuda=(12, 4)),
    ),
    Case(
        "the backend … needs …, which is not installed; run: pip install 'geolrm[…]'",
        "No GPU package comes with the base install.",
        on_a_gpu(make_part("tensorrt-rtx"), packages=()),
    ),
    Case(
        "onnxruntime-gpu is installed, but the package onnxruntime lies over it and knows no GPU; "
        "run: …",
        "Both packages write to the same folder; the one installed last wins.",
        on_a_gpu(make_part(), providers=False),
    ),
    Case(
        "… was built for …; this GPU is …. Rebuild it: …",
        "Engines of TensorRT fit one kind of GPU; `--sm` of geolrm-export names several.",
        on_a_gpu(make_part("tensorrt-rtx", sm="sm_120")),
        BundleError,
    ),
    Case(
        "… was built by …; installed is …. Rebuild it: …",
        "Engines fit the very version that built them.",
        on_a_gpu(make_part("tensorrt", builder="11.3")),
        BundleError,
    ),
    Case(
        "… views with … anchors need … GB of GPU memory beside the weights, and … GB are free; … "
        "views with --max-tokens … fit, or use the backend onnxruntime",
        "`geolrm info BUNDLE --views V --tokens N` shows for what the memory is needed.",
        too_little_memory,
    ),
    Case(
        "--views and --tokens plan the memory of a GPU, and … has no part for one; export it again "
        "with --backend",
        "On the CPU the system lends what is needed.",
        lambda place: info("mini", views=4),
        InputError,
    ),
    Case(
        "output is …; it must be 'numpy' or 'device'",
        "Where results are handed over.",
        lambda place: place.engine().run([], [], output="torch"),
        InputError,
    ),
    Case(
        "drawing with the backend cuda needs an NVIDIA GPU, but …; install a driver of CUDA … or "
        "later, or draw with the backend cpu",
        "It was asked for; `auto` draws on the CPU what is not on a GPU already.",
        draw_without_driver,
    ),
]
