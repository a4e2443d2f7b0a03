"""``geolrm bench photos``: what wrong poses cost, and how much of it their refinement brings back.

The frames are those of ``geolrm eval``. The score of every column is the best over one rigid motion
of the splats near the identity, since wrong poses say nothing of where the object lies.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.dataset import find_subjects, load_subject
from geolrm.bench.quality.judging import on_white
from geolrm.bench.quality.protocol import TARGETS, input_frames
from geolrm.engine.captures import Capture
from geolrm.engine.engine import Engine
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import motion, rotation_matrix
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.model import pack

ROWS = ((12, 0.0), (12, 1.0), (6, 0.0), (6, 1.0), (12, 2.0))  # views; degrees, % of the cube
STEP = 2e-3  # radians and units, of the differences
ITERATIONS = 3


def wrong_poses(cameras: Cameras, degrees: float, percent: float) -> Cameras:
    """Turn each camera about its own centre and move it, by so much in root mean square."""
    generator = np.random.default_rng(0)
    turns = generator.normal(size=(len(cameras), 3)) * np.deg2rad(degrees) / 3**0.5
    moves = generator.normal(size=(len(cameras), 3)) * percent / 100 / 3**0.5
    c2w = cameras.c2w.copy()
    for pose, turn, move in zip(c2w, turns, moves, strict=True):
        pose[:3, :3] = pose[:3, :3] @ rotation_matrix(turn)
        pose[:3, 3] += move
    return Cameras(c2w, cameras.intrinsics)


def best_psnr(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> float:
    """Return the PSNR at the cameras, best over one rigid motion near the identity.

    Gauss-Newton by differences, which is what least squares ask for.

    Args:
        gaussians: The scene.
        cameras: V, of the truths.
        truths: [V, H, W, 3] on white.
        threads: Of the rasterizer.
    """
    frame, model = Frame.of(cameras, truths.shape[2:0:-1]), pack(gaussians)

    def error(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = replace(frame, w2c=frame.w2c @ matrix)
        drawn = render_frame(model, moved, threads=threads).rgb.clip(0, 1)
        return (drawn - truths).ravel().astype(np.float64)

    def moved(increment: NDArray[np.float64]) -> NDArray[np.float64]:
        return best @ motion(increment[:3], increment[3:], np.zeros(3))

    best = np.eye(4)
    least = error(best)
    for _ in range(ITERATIONS):
        rows = np.stack([(error(moved(STEP * axis)) - least) / STEP for axis in np.eye(6)])
        matrix = rows @ rows.T
        matrix += 1e-6 * np.trace(matrix) * np.eye(6)
        candidate = moved(-np.linalg.solve(matrix, rows @ least))
        left = error(candidate)
        if left @ left >= least @ least:
            break
        best, least = candidate, left
    return float(-10 * np.log10(np.mean(least**2)))


def measure(engine: Engine, used: Capture, refine_poses: bool | str) -> tuple[Gaussians, float]:
    """Reconstruct; return the seconds, too."""
    start = time.perf_counter()
    scene = engine.run(used.images, used.cameras, refine_poses=refine_poses)  # type: ignore
    return scene.gaussians, time.perf_counter() - start


def run(data: str | Path, objects: int | None, threads: int | None) -> list[dict]:
    """Measure each row over the first objects of a dataset; print as it goes."""
    engine = Engine(threads=threads)
    rows: list[dict] = []
    folders = list(find_subjects(data).items())[:objects]
    for views, wrong in ROWS:
        scores: dict[str, list[float]] = {mode: [] for mode in ("off", "auto", "on")}
        seconds: dict[str, list[float]] = {mode: [] for mode in scores}
        for name, folder in folders:
            subject = load_subject(name, folder)
            truths = np.stack(on_white(subject, TARGETS))
            held_out = subject.capture.cameras[list(TARGETS)]
            used = subject.capture.subset(input_frames(views))
            used = replace(used, cameras=wrong_poses(used.cameras, wrong, wrong))
            for mode, asked in (("off", False), ("auto", "auto"), ("on", True)):
                gaussians, took = measure(engine, used, asked)
                scores[mode].append(best_psnr(gaussians, held_out, truths, engine.threads))
                seconds[mode].append(took)
        row = {
            "views": views,
            "degrees_and_percent": wrong,
            "objects": len(folders),
            "psnr": {mode: round(float(np.mean(values)), 2) for mode, values in scores.items()},
            "seconds": {mode: round(float(np.mean(v)), 2) for mode, v in seconds.items()},
        }
        rows.append(row)
        found, took = row["psnr"], row["seconds"]
        print(
            f"{views:2} views, poses off by {wrong:g} degrees and {wrong:g} %: "
            + ", ".join(f"{mode} {found[mode]:.2f} dB in {took[mode]:.2f} s" for mode in found),
            flush=True,
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print the rows, and write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(prog="geolrm bench photos", description=__doc__)
    parser.add_argument("--data", required=True, help="a folder of posed scans, as of geolrm eval")
    parser.add_argument("--objects", type=int, help="the first so many; default: all")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--json", metavar="FILE", help="where the rows go, too")
    options = parser.parse_args(arguments)
    rows = run(options.data, options.objects, options.threads)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
