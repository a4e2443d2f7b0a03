"""The program that ``ncu`` counts: attention at the target setting, and a frame of splats."""

from geolrm.bench import splat_scenes
from geolrm.bench.gpu import kernels
from geolrm.bench.gpu.splat_kernels import COUNT, PX
from geolrm.engine.cuda.device import open_device
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame


def main(setting: tuple[int, int] = (21, 16384), count: int = COUNT, px: int = PX) -> None:
    """Launch each once, in no graph."""
    device = open_device(0)
    device.launch(kernels.attention_calls(device, *setting, "float16", curve=True)[0])
    device.synchronize()
    scene, size = splat_scenes.ring_and_ball(count), (px, px)
    rasterizer = SplatRasterizer(device)
    out = DeviceRenders.empty(device, 1, size)
    frame = Frame(scene.w2c[None], scene.intrinsics(px, px)[None], size)
    calls, _ = rasterizer.prepare(rasterizer.pack(scene), frame, out=out)
    device.launch(calls)
    device.synchronize()


if __name__ == "__main__":
    main()
