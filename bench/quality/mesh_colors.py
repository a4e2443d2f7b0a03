"""Colours of meshes, held against views that were not given: `geolrm bench mesh DATASET`.

Each object is reconstructed from twelve views and fused to a mesh, which is then shown unlit in the
held-out views of the evaluation: in the colours of its vertices, and with a texture from the same
twelve views. Colours count where the photograph and both meshes show the object whole; what the
silhouettes differ by is the same for both.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.machine import describe
from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.bench.quality.image_metrics import psnr
from geolrm.bench.quality.protocol import TARGET_GROUPS, TARGETS, input_frames
from geolrm.engine.engine import Engine
from geolrm.engine.meshing.decimation import decimate
from geolrm.engine.meshing.fusion import fuse
from geolrm.engine.meshing.mesh_pictures import picture_colored, picture_textured
from geolrm.engine.meshing.texturing import DEFAULT_FACES, DEFAULT_SIZE, texture

VIEWS = 12
WHOLE = 0.999  # of alpha: a pixel that shows the object alone


@dataclass(frozen=True, slots=True)
class ColorErrors:
    """PSNR in decibels where the object is, over the targets of all groups or of some."""

    vertices: float  # colours of the vertices of the whole mesh
    decimated: float  # of the vertices of the mesh that is textured
    texture: float


@dataclass(frozen=True, slots=True)
class MeshColors:
    """One object."""

    name: str
    triangles: int  # of the fused mesh
    textured: int  # triangles of the textured one
    seconds: float  # decimation, atlas and texture
    all: ColorErrors
    groups: dict[str, ColorErrors]


def measure(
    subject: Subject, engine: Engine, *, faces: int, size: int, threads: int | None
) -> MeshColors:
    """Reconstruct, fuse and texture one object, and compare colours in the held-out views."""
    used = subject.capture.subset(input_frames(VIEWS))
    scene = engine.run(used.images, used.cameras, valid=used.valid, seed=0)
    fused = fuse(scene.gaussians, threads=threads)
    started = time.perf_counter()
    small = decimate(fused, faces)
    textured = texture(
        small, used.images, used.cameras, valid=used.valid, fused=fused, size=size, threads=threads
    )
    seconds = time.perf_counter() - started
    truths = [subject.capture.images[frame] for frame in TARGETS]
    cameras = subject.capture.cameras[list(TARGETS)]
    size_of = truths[0].shape[1], truths[0].shape[0]
    made = [
        picture_colored(fused, cameras, size_of),
        picture_colored(small, cameras, size_of),
        picture_textured(textured, cameras, size_of, threads=threads or 0),
    ]
    whole = np.stack([truth[..., 3] == 255 for truth in truths])
    for pictures in made:
        whole &= pictures.alpha >= WHOLE
    true = np.stack([truth[..., :3] for truth in truths]) / 255

    def errors(frames: NDArray[np.intp]) -> ColorErrors:
        where = whole[frames]
        return ColorErrors(*(
            psnr(float(((pictures.rgb[frames] - true[frames])[where] ** 2).mean()))
            for pictures in made
        ))  # fmt: skip

    groups = {
        group: errors(np.array([TARGETS.index(frame) for frame in frames]))
        for group, frames in TARGET_GROUPS.items()
    }
    every = errors(np.arange(len(TARGETS)))
    return MeshColors(
        subject.name, len(fused.faces), len(small.faces), round(seconds, 2), every, groups
    )


def table(rows: list[MeshColors]) -> str:
    """Write the figures as a table of the documents."""
    lines = [
        "| object | vertex colours, all triangles | as many as textured | texture | gain |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        errors = row.all
        lines.append(
            f"| {row.name} | {errors.vertices:.2f} | {errors.decimated:.2f} | "
            f"{errors.texture:.2f} | {errors.texture - errors.vertices:+.2f} |"
        )
    means = np.mean([list(asdict(row.all).values()) for row in rows], axis=0)
    lines.append(
        f"| mean | {means[0]:.2f} | {means[1]:.2f} | {means[2]:.2f} | {means[2] - means[0]:+.2f} |"
    )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Say what the benchmark takes."""
    made = argparse.ArgumentParser(prog="geolrm bench mesh", description=__doc__)
    made.add_argument("dataset", type=Path, help="folder of captures laid out as for geolrm eval")
    made.add_argument("--objects", help="names, with commas between them; default: all")
    made.add_argument("--model", default="mini", help="'mini' or a bundle folder")
    made.add_argument("--faces", type=int, default=DEFAULT_FACES, help="of the textured mesh")
    made.add_argument("--texture-size", type=int, default=DEFAULT_SIZE, help="in pixels")
    made.add_argument("--threads", type=int, default=None, help="default: all cores")
    made.add_argument("--json", action="store_true", help="machine-readable output")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    given = parser().parse_args(arguments)
    wanted = given.objects.split(",") if given.objects else None
    engine = Engine(given.model, threads=given.threads)
    rows = [
        measure(load_subject(name, folder), engine, faces=given.faces, size=given.texture_size,
                threads=given.threads)
        for name, folder in find_subjects(given.dataset, wanted).items()
    ]  # fmt: skip
    if given.json:
        print(json.dumps({"machine": describe(), "objects": [asdict(row) for row in rows]}))
        return
    print(table(rows))
    for row in rows:
        print(f"{row.name}: {row.triangles:,} triangles, textured {row.textured:,} in "
              f"{row.seconds:.1f} s")  # fmt: skip
