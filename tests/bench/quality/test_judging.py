from dataclasses import replace

import numpy as np
import pytest
from samples.known_shapes import make_splats

from geolrm import Gaussians
from geolrm.bench.quality.dataset import load_subject
from geolrm.bench.quality.judging import Judge
from geolrm.bench.quality.shape_metrics import occupied_voxels


def test_targets_are_drawn_at_their_own_size(dataset):
    subject = load_subject("box", dataset / "box")
    images = list(subject.capture.images)
    images[30] = images[30][::2, ::2]
    subject = replace(subject, capture=replace(subject.capture, images=images))
    judge = Judge(subject, grid=8, seed=0, threads=1)
    shapes = [picture.shape for picture in judge.render(Gaussians.load(_one_splat(dataset)))]
    assert shapes.count((24, 24, 3)) == 1 and shapes.count((48, 48, 3)) == 17
    assert shapes[4 + 6] == (24, 24, 3)


def _one_splat(folder):
    one = np.ones((1, 3), np.float32)
    splat = Gaussians(0 * one, np.array([0.9]), 0.1 * one, np.eye(1, 4), colors=0 * one)
    splat.save(folder.parent / "one.ply")
    return folder.parent / "one.ply"


def test_white_images_score_what_white_is_worth(dataset):
    judge = Judge(load_subject("ball", dataset / "ball"), grid=8, seed=0, threads=1)
    white = judge.white()
    error = np.mean([((1 - truth.astype(np.float64)) ** 2).mean() for truth in judge.truths])
    assert white.psnr == pytest.approx(-10 * np.log10(error), abs=1e-4)
    assert (white.iou, white.f02, white.cd) == (0, 0, None)


def test_the_truth_itself_scores_best(dataset):
    subject = load_subject("ball", dataset / "ball")
    judge = Judge(subject, grid=8, seed=0, threads=1, perceive=lambda drawn, truth: 0.25)
    splats = make_splats(subject.points, 0.5 + subject.points)
    occupied = occupied_voxels(subject.points, 8)
    scores = judge.scores(judge.render(splats), splats, occupied)
    assert scores.psnr > 30 and scores.iou == 1 and scores.f02 == 1 and scores.lpips == 0.25
    assert set(scores.groups) == {"orbit_up", "orbit_level", "top", "bottom"}
    assert judge.scores(judge.render(splats), splats, None).iou is None
