"""Training lowers the losses, and what it learned renders well through the exported engine."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from samples.training import model_with_cues, run, tiny_recipe  # noqa: E402

from geolrm import Cameras, Engine  # noqa: E402
from geolrm.engine.bundle.manifest import Range, Source  # noqa: E402
from geolrm.export.bundle_writer import ExportOptions, write_bundle  # noqa: E402
from geolrm.export.checkpoint import load_checkpoint  # noqa: E402
from geolrm.export.model import (  # noqa: E402
    CueConfig,
    EncoderConfig,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
)
from geolrm.training.config import OptimizerConfig, Recipe, ViewConfig  # noqa: E402
from geolrm.training.data.meshes import render_object  # noqa: E402
from geolrm.training.data.posed_object import PosedObject  # noqa: E402
from geolrm.training.data.shapes import procedural_mesh  # noqa: E402
from geolrm.training.recipes import NO_AUGMENTATION  # noqa: E402
from geolrm.training.sources import EpisodeSource, StoredObject  # noqa: E402

SIZE = 64  # px
HELD_BACK = [2, 8, 14, 20, 25, 29, 33]  # four of the upper orbit, three of the level one
INPUTS, STEPS = 6, 300


def test_both_losses_fall(tmp_path):
    recipe = tiny_recipe(
        model_with_cues(),
        steps=40,
        augmentation=NO_AUGMENTATION,
        optimizer=OptimizerConfig(2e-3, warmup=5),
    )
    _, records = run(tmp_path / "run", recipe)
    for name in ("occupancy", "mse", "total"):
        values = [record[name] for record in records]
        assert np.mean(values[-10:]) < 0.8 * np.mean(values[:10]), name


def small_model() -> GeoLRMConfig:
    """Everything that mini has, at 64 px and 16^3 voxels."""
    block = TransformerConfig(
        48, 2, 4, 2, self_attention="token", cross_attention_residual="stream", ffn_multiple_of=32
    )
    return GeoLRMConfig(
        encoder=EncoderConfig(
            patch_size=8,
            hidden_size=48,
            num_layers=1,
            num_heads=2,
            position_grid=8,
            feature_dim=24,
            batch_norm=False,
            rays="unit",
        ),
        proposal=ProposalConfig(block, grid_size=16, token_res=4, max_seq_len=1024),
        reconstruction=ReconstructionConfig(
            block,
            grid_size=16,
            xyz_scale=0.5,
            gaussians_per_anchor=8,
            centred_offsets=True,
            offset_max=0.1,
            scale_max=0.04,
        ),
        shared_encoder=True,
        cues=CueConfig(volume_channels=8),
        image_size=SIZE,
    )


def part(posed, indices) -> PosedObject:
    cameras = Cameras(posed.cameras.c2w[indices], posed.cameras.intrinsics[indices])
    return PosedObject(posed.rgba[indices], posed.depth[indices], cameras, posed.points)


@pytest.mark.long
def test_one_object_is_learned_and_rendered_by_the_engine(tmp_path):
    mesh = procedural_mesh(np.random.default_rng(4))
    posed = render_object(mesh, np.random.default_rng(0), SIZE)
    shown = part(posed, np.setdiff1d(np.arange(len(posed)), HELD_BACK))
    hidden = part(posed, np.array(HELD_BACK))
    recipe = Recipe(
        small_model(),
        STEPS,
        true_anchor_steps=STEPS // 4,
        max_anchors=1024,
        views=ViewConfig(INPUTS, INPUTS, targets=4, target_size=SIZE),
        optimizer=OptimizerConfig(3e-3, warmup=20, average=0.98),
        augmentation=NO_AUGMENTATION,
    )
    source = EpisodeSource([StoredObject(lambda: shown)], ["one"], recipe)
    run(tmp_path / "run", recipe, source)

    model, _, _ = load_checkpoint(tmp_path / "run" / "weights.safetensors")
    write_bundle(
        model,
        tmp_path / "bundle",
        name="one",
        source=Source("weights.safetensors", "", trained=True),
        options=ExportOptions("fp32", Range(1, INPUTS, 21), Range(1, 1024, 1024)),
    )
    engine = Engine(tmp_path / "bundle")
    chosen = np.array(shown.cameras.spread(INPUTS))
    scene = engine.run(shown.rgba[chosen], part(shown, chosen).cameras)
    drawn = scene.render(hidden.cameras, (SIZE, SIZE)).rgb
    rgba = hidden.rgba.astype(np.float64) / 255
    truth = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    psnr = -10 * np.log10(((drawn - truth) ** 2).mean())
    print(f"PSNR {psnr:.2f} dB, {len(scene.anchors)} anchors")
    assert psnr > 28
