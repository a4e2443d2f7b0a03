"""Own photos, posed by COLMAP: where the object ends up, and how results map back.

Give a project of COLMAP: a folder with ``images/`` and ``sparse/0/``, as made by

    colmap automatic_reconstructor --workspace_path PROJECT --image_path PROJECT/images

Photos with alpha, or with ``masks/`` beside them, tell the object from its surroundings. The
object is centred and scaled into the cube; ``object_to_world`` leads back to COLMAP's own frame.
Without an argument a project is made of the bundled shoe, in a frame as arbitrary as COLMAP's.

    python examples/02_own_photos_with_colmap.py [PROJECT] [-o OUT] [--views 6]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from geolrm import Engine, load_capture
from geolrm.engine.geometry.similarity import quaternion
from geolrm.examples import capture_path


def make_project(folder: Path) -> Path:
    """Write the bundled shoe as COLMAP would have: 3 times as large, and elsewhere."""
    source = load_capture(capture_path("shoe"))
    (folder / "sparse" / "0").mkdir(parents=True)
    shutil.copytree(capture_path("shoe") / "rgb", folder / "images")
    height, width = source.images[0].shape[:2]
    focal_x, focal_y = source.cameras.intrinsics[0, [0, 1], [0, 1]] * (width, height)
    camera = f"1 PINHOLE {width} {height} {focal_x} {focal_y} {width / 2} {height / 2}\n"
    (folder / "sparse" / "0" / "cameras.txt").write_text(camera, encoding="utf-8")
    lines = []
    for index, w2c in enumerate(source.cameras.world_to_camera):
        rotation, place = w2c[:3, :3], 3 * w2c[:3, 3] - w2c[:3, :3] @ np.array([4.0, -2.0, 1.0])
        numbers = [*quaternion(rotation), *place]
        name = Path(source.names[index]).name
        lines.append(f"{index + 1} {' '.join(map(str, numbers))} 1 {name}\n\n")
    (folder / "sparse" / "0" / "images.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/photos.ply"))
    parser.add_argument("--views", type=int, default=6)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as made:
        capture = load_capture(args.project or make_project(Path(made) / "shoe"))
    for note in capture.notes:
        print(f"note: {note}")
    chosen = capture.subset(capture.cameras.spread(args.views))
    scene = Engine("mini").run(chosen.images, chosen.cameras, max_tokens=2048, refine_steps=0)
    scene.gaussians.save(args.output)
    print(f"{len(scene.gaussians):,} Gaussians -> {args.output}")

    in_world = args.output.with_name(f"{args.output.stem}_in_world.ply")
    placed = scene.gaussians.transformed(capture.object_to_world)
    placed.save(in_world)
    print(f"the same in COLMAP's frame, around {placed.means.mean(axis=0).round(2)} -> {in_world}")


if __name__ == "__main__":
    main()
