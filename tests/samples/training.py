"""Models, recipes and data that train a step in a fraction of a second."""

from dataclasses import replace

import numpy as np
import torch

from geolrm.export.model import CueConfig, GeoLRMConfig
from geolrm.training.config import OptimizerConfig, Recipe, ViewConfig
from geolrm.training.data.meshes import Mesh, render_object
from geolrm.training.data.shapes import procedural_mesh, revolve
from geolrm.training.loop import Intervals, train
from geolrm.training.run_folder import RunFolder
from geolrm.training.sources import EpisodeSource
from samples.tiny_models import tiny_config

torch.set_num_threads(1)  # of models this small, handing work to threads is most of the time
BALL_RADIUS = 0.5
OFTEN = Intervals(checkpoint_seconds=0, sample_steps=1000)


def meshes(count=2):
    return [procedural_mesh(np.random.default_rng(seed)) for seed in range(count)]


def ball_mesh() -> Mesh:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 49)
    texture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    profile = np.stack([np.cos(angle), np.sin(angle)], -1)
    return revolve(BALL_RADIUS * profile, texture)


def posed_object(size=40, seed=0):
    mesh = procedural_mesh(np.random.default_rng(seed))
    return render_object(mesh, np.random.default_rng(seed), size, supersample=1, points=2000)


def model_with_cues() -> GeoLRMConfig:
    """Everything that mini has: one encoder, cues, no batch norm."""
    config = tiny_config(batch_norm=False, rays="unit")
    cues = CueConfig(volume_channels=8)
    return replace(config, shared_encoder=True, cues=cues)


def tiny_recipe(model: GeoLRMConfig | None = None, **fields) -> Recipe:
    views = ViewConfig(2, 3, targets=2, target_size=24, supersample=1)
    defaults = {
        "steps": 3,
        "precision": "fp32",
        "max_anchors": 128,
        "true_anchor_steps": 2,
        "views": views,
        "optimizer": OptimizerConfig(warmup=1),
    }
    return Recipe(model or tiny_config(), **{**defaults, **fields})


def run(folder, recipe, source=None, **options):
    """Train into a folder; the final state and the records of its steps."""
    folder = RunFolder(folder)
    folder.start(recipe, {"geolrm": "test"})
    source = source or EpisodeSource(meshes(), ["first", "second"], recipe)
    state = train(recipe, source, folder, intervals=OFTEN, **options)
    return state, folder.records()


def assert_equal_states(state, other):
    first, second = state.tensors(), other.tensors()
    assert first.keys() == second.keys() and state.step == other.step
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
