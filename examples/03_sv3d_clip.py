"""An SV3D orbit: 21 frames whose cameras are known without any pose file.

Takes a clip (.mp4, with the extra ``[video]``) or a folder of its 21 frames. Without an argument
such frames are rendered first, of a reconstruction of the bundled shoe.

    python examples/03_sv3d_clip.py [CLIP] [-o OUT] [--views 6]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from geolrm import Cameras, Engine, load_capture
from geolrm.engine.views.sheets import save_image, to_bytes
from geolrm.examples import load_or_reconstruct


def render_frames(folder: Path) -> Path:
    """Write what SV3D would make: 21 square images from around the object, with alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    renders = load_or_reconstruct(None).render(Cameras.from_orbit("sv3d"), (256, 256))
    for index, (rgb, alpha) in enumerate(zip(renders.rgb, renders.alpha, strict=True)):
        straight = (rgb - (1 - alpha[..., None])) / np.maximum(alpha[..., None], 1e-6)
        image = np.concatenate([straight, alpha[..., None]], axis=-1)
        save_image(to_bytes(image), folder / f"{index:02d}.png")
    return folder


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/sv3d.ply"))
    parser.add_argument("--views", type=int, default=6)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as made:
        capture = load_capture(args.clip or render_frames(Path(made) / "sv3d"))
    print(f"{capture.kind}, {len(capture)} frames; {'; '.join(capture.notes)}")
    chosen = capture.subset(np.linspace(0, len(capture), args.views, endpoint=False).astype(int))
    scene = Engine("mini").run(chosen.images, chosen.cameras, max_tokens=2048, refine_steps=0)
    scene.gaussians.save(args.output)
    print(f"{len(scene.gaussians):,} Gaussians -> {args.output}")


if __name__ == "__main__":
    main()
