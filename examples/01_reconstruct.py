"""Posed images in, 3D Gaussians out: the whole engine in five lines.

Shows ``load_capture``, ``Capture.subset``, ``Engine.run``, the times of its stages, and ``save``.

    python examples/01_reconstruct.py [CAPTURE] [-o OUT] [--views 6]
"""

import argparse
from pathlib import Path

from geolrm import Engine, load_capture
from geolrm.examples import capture_path


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path, nargs="?", default=capture_path("shoe"))
    parser.add_argument("-o", "--output", type=Path, default=Path("out/reconstruction.ply"))
    parser.add_argument("--views", type=int, default=6)
    args = parser.parse_args()

    capture = load_capture(args.capture)
    chosen = capture.subset(capture.cameras.spread(args.views))  # spread over the directions
    scene = Engine("mini").run(chosen.images, chosen.cameras)
    scene.gaussians.save(args.output)

    for stage, seconds in scene.timings.items():
        print(f"{stage:12s} {seconds:6.2f} s")
    print(f"{len(scene.gaussians):,} Gaussians -> {args.output}")


if __name__ == "__main__":
    main()
