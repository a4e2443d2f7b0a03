"""A capture that grows: each image is encoded once, when it arrives.

Shows ``Engine.live``: views are added as a camera would deliver them, and after each of them the
scene can be reconstructed. The result is bit-identical to ``Engine.run`` on all views so far.

    python examples/04_live_capture.py [CAPTURE] [-o OUT] [--views 4]
"""

import argparse
import time
from pathlib import Path

from geolrm import Engine, load_capture
from geolrm.examples import capture_path


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path, nargs="?", default=capture_path("banana"))
    parser.add_argument("-o", "--output", type=Path, default=Path("out/live"))
    parser.add_argument("--views", type=int, default=4)
    args = parser.parse_args()

    capture = load_capture(args.capture)
    live = Engine("mini").live()
    for index in capture.cameras.spread(args.views):
        start = time.perf_counter()
        live.add(capture.images[index], capture.cameras[[index]])
        added = time.perf_counter()
        scene = live.run(max_tokens=1024, refine_steps=0)
        done = time.perf_counter()
        scene.gaussians.save(args.output / f"after_{len(live)}_views.ply")
        print(
            f"{len(live)} views: added in {added - start:.2f} s, reconstructed in "
            f"{done - added:.2f} s, {len(scene.gaussians):,} Gaussians"
        )
    print(f"-> {args.output}")


if __name__ == "__main__":
    main()
