"""Seeded random weights for ``mini``, until trained ones ship.

``python -m geolrm.export.untrained FOLDER`` writes the bundle.

The bias of the occupancy is set so that a tenth of the voxels of the bundled captures is proposed.
"""

import argparse
from pathlib import Path

import torch

from geolrm.engine.captures import load_capture
from geolrm.engine.manifest import Range, Source
from geolrm.engine.preprocessing import prepare_views
from geolrm.examples import CAPTURES
from geolrm.export import verification
from geolrm.export.bundle_writer import ExportOptions, tensors_sha256, write_bundle
from geolrm.export.model import GeoLRM, mini
from geolrm.export.model.geometry import projection_matrices

SEED = 20240620
OCCUPIED_SHARE = 0.1


def untrained_mini(seed: int = SEED) -> GeoLRM:
    """The mini model with random weights that do propose voxels."""
    torch.manual_seed(seed)
    model = GeoLRM(mini()).eval().requires_grad_(False)
    logits = []
    for folder in sorted(path for path in CAPTURES.iterdir() if path.is_dir()):
        capture = load_capture(folder)
        chosen = capture.subset(capture.cameras.spread(6))
        views = prepare_views(chosen.images, chosen.cameras, model.config.image_size)
        arrays = (views.images, views.c2w, views.intrinsics, views.foreground)
        images, c2w, intrinsics, foreground = map(torch.from_numpy, arrays)
        features, _ = model.encode(images, c2w, intrinsics)
        projection = projection_matrices(intrinsics, c2w)
        logits.append(model.propose(features, projection, foreground).logits.flatten())
    threshold = torch.cat(logits).quantile(1 - OCCUPIED_SHARE)
    model.serializer.refinement.final_head.bias -= threshold
    return model


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.export.untrained")
    parser.add_argument("output", type=Path, help="bundle folder")
    folder = parser.parse_args().output
    model = untrained_mini()
    source = Source(f"random, seed {SEED}", tensors_sha256(model), trained=False)
    capture = load_capture(CAPTURES / "shoe")
    write_bundle(
        model,
        folder,
        name="mini",
        source=source,
        options=ExportOptions("fp16", views=Range(1, 6, 24), tokens=Range(1, 4096, 8192)),
        verify=lambda bundle: verification.report(verification.verify(bundle, model, capture)),
        progress=print,
    )


if __name__ == "__main__":
    main()
