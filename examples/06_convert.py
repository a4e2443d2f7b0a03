"""One scene in every splat format: sizes, and what each of them loses.

Shows ``Gaussians.save`` and ``load``, both axes, pruning and thinning; docs/formats.md explains.

    python examples/06_convert.py [SPLATS] [-o OUT] [--prune-opacity 0.01] [--max-splats N]
"""

import argparse
from pathlib import Path

import numpy as np

from geolrm import Gaussians
from geolrm.engine.gaussians.thinning import keep_largest, prune
from geolrm.examples import load_or_reconstruct


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("splats", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/formats"))
    parser.add_argument("--prune-opacity", type=float, default=0.01)
    parser.add_argument("--max-splats", type=int)
    args = parser.parse_args()

    scene = load_or_reconstruct(args.splats)
    kept = prune(scene, args.prune_opacity)
    if args.max_splats is not None:
        kept = keep_largest(kept, args.max_splats)
    print(f"{len(kept):,} of {len(scene):,} Gaussians")
    files = {
        "scene.ply": {},
        "scene_y_up.ply": {"up": "y"},
        "scene_raw.ply": {"raw": True},
        "scene.spz": {},
        "scene.splat": {},
        "scene.glb": {},
    }
    for name, options in files.items():
        path = args.output / name
        kept.save(path, **options)
        read = Gaussians.load(path)
        moved = np.abs(read.means - kept.means).max()
        faded = np.abs(read.opacities - kept.opacities).max()
        print(f"{name:16s} {path.stat().st_size / 1e3:8.1f} kB, positions within {moved:.1e}, "
              f"opacities within {faded:.1e}")  # fmt: skip
    print(f"-> {args.output}")


if __name__ == "__main__":
    main()
