"""Photographs without poses to splats: what ``geolrm run PHOTOS -o shoe.ply`` does, step by step.

Takes a folder of photographs or a video, with the extra ``[photos]``. Without an argument a walk
around a reconstruction is rendered first, and its cameras are forgotten.

    python examples/09_photos_to_splats.py [PHOTOS] [-o OUT] [--views 6]
"""

import argparse
from pathlib import Path

import numpy as np

from geolrm import Cameras, Engine, load_capture
from geolrm.engine.photographs import PhotographOptions, capture_photographs
from geolrm.engine.views.sheets import save_image, to_bytes
from geolrm.examples import load_or_reconstruct


def take_photographs(folder: Path) -> Path:
    """Write photographs from around an object, with alpha, and no word of where they are from."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = Cameras.orbit(8.0 * np.arange(16), 20.0, radius=1.5, fov=39.6)  # steps of 8 degrees
    renders = load_or_reconstruct(None).render(cameras, (640, 640))
    for index, (rgb, alpha) in enumerate(zip(renders.rgb, renders.alpha, strict=True)):
        straight = (rgb - (1 - alpha[..., None])) / np.maximum(alpha[..., None], 1e-6)
        image = np.concatenate([straight, alpha[..., None]], axis=-1)
        save_image(to_bytes(image), folder / f"{index:02d}.png")
    return folder


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/from_photos.ply"))
    parser.add_argument("--views", type=int, default=6)
    args = parser.parse_args()

    photos = args.photos or take_photographs(args.output.parent / "photos")
    kept = args.output.with_suffix(".capture")
    report = capture_photographs(photos, kept, PhotographOptions(seed=0))
    print(f"{report['posed']} of {report['photographs']} photographs are posed -> {kept}")
    for entry in report["left_out"]:
        print(f"left out: {entry['name']}: {entry['reason']}")
    for sentence in report["photograph_again"]:
        print(f"photograph again: {sentence}")

    capture = load_capture(kept)
    chosen = capture.subset(capture.cameras.spread(min(args.views, len(capture))))
    scene = Engine("mini").run(chosen.images, chosen.cameras, max_tokens=2048, refine_steps=0)
    scene.gaussians.save(args.output)
    print(f"{len(scene.gaussians):,} Gaussians -> {args.output}")


if __name__ == "__main__":
    main()
