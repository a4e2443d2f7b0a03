"""Splats to triangles with vertex colours, as a .glb that any 3D program opens.

Needs the extra ``[mesh]``. Takes any splat file, or reconstructs the bundled shoe.

    python examples/07_mesh.py [SPLATS] [-o OUT] [--size 96]
"""

import argparse
from pathlib import Path

from geolrm.engine.meshing.fusion import fuse
from geolrm.examples import load_or_reconstruct


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("splats", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/mesh.glb"))
    parser.add_argument("--size", type=int, default=96, help="voxels along the longest side")
    args = parser.parse_args()

    mesh = fuse(load_or_reconstruct(args.splats), size=args.size, views=24)
    mesh.save(args.output)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    print(f"{mesh}, {(high - low).round(2)} wide, deep and high -> {args.output}")


if __name__ == "__main__":
    main()
