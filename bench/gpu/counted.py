"""The program that ``ncu`` counts: attention at the target setting, and a frame of splats.

``--small`` is what ``compute-sanitizer`` checks, which slows kernels down: less of everything, and
the selection of anchors.
"""

import argparse

from geolrm.bench import splat_scenes
from geolrm.bench.gpu import kernels
from geolrm.bench.gpu.splat_kernels import COUNT, PX
from geolrm.engine.cuda.device import Device, open_device
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame

ENDED = "every launch has ended"  # printed last
SMALL = ((2, 300), 1000, 32)


def main(setting: tuple[int, int] = (21, 16384), count: int = COUNT, px: int = PX) -> None:
    """Launch each once, in no graph."""
    device = open_device(0)
    launch_attention(device, setting)
    launch_frame(device, count, px)


def check() -> None:
    """Launch each once with little to do."""
    device = open_device(0)
    setting, count, px = SMALL
    launch_attention(device, setting)
    launch_frame(device, count, px)
    calls, placed = kernels.selection_calls(device)
    device.clear(placed[2])
    device.launch(calls)
    device.synchronize()
    print(ENDED, flush=True)


def launch_attention(device: Device, setting: tuple[int, int]) -> None:
    """Launch attention to features and to each other, as a layer does."""
    calls, _placed = kernels.attention_calls(device, *setting, "float16", curve=True)
    device.launch(calls)
    device.synchronize()
    calls, _placed = kernels.self_attention_calls(device, setting[1])
    device.launch(calls)
    device.synchronize()


def launch_frame(device: Device, count: int, px: int) -> None:
    """Render so many splats once."""
    scene, size = splat_scenes.ring_and_ball(count), (px, px)
    rasterizer = SplatRasterizer(device)
    out = DeviceRenders.empty(device, 1, size)
    frame = Frame(scene.w2c[None], scene.intrinsics(px, px)[None], size)
    calls, _ = rasterizer.prepare(rasterizer.pack(scene), frame, out=out)
    device.launch(calls)
    device.synchronize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m geolrm.bench.gpu.counted")
    parser.add_argument("--small", action="store_true")
    check() if parser.parse_args().small else main()
