"""Render splats on the CPU: frames of an orbit, with alpha and depth.

Takes any splat file, or reconstructs the bundled shoe.

    python examples/05_render_an_orbit.py [SPLATS] [-o OUT] [--frames 12] [--size 256]
"""

import argparse
from pathlib import Path

import numpy as np

from geolrm import Cameras
from geolrm.engine.views.sheets import save_image, to_bytes
from geolrm.examples import load_or_reconstruct


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("splats", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/orbit"))
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()

    azimuths = np.arange(args.frames) * 360 / args.frames
    cameras = Cameras.orbit(azimuths, 15.0, 1.8, 40.0)  # elevation, radius, field of view
    renders = load_or_reconstruct(args.splats).render(cameras, (args.size, args.size))

    args.output.mkdir(parents=True, exist_ok=True)
    for index, rgb in enumerate(renders.rgb):
        save_image(to_bytes(rgb), args.output / f"{index:03d}.png")
    covered = renders.alpha > 0.5
    depth = renders.depth[covered] / renders.alpha[covered]
    print(f"{args.frames} frames -> {args.output}")
    print(f"the object fills {covered.mean():.0%} of them, {depth.min():.2f} to {depth.max():.2f} "
          "away")  # fmt: skip


if __name__ == "__main__":
    main()
