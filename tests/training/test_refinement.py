"""The stage of the learned refinement: what it reads, what it trains, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples.training import (
    assert_equal_states,
    meshes,
    model_with_cues,
    run,
    tiny_recipe,
)

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import REFERENCE_SIZE, budget_of
from geolrm.engine.refinement.learned import rows_of
from geolrm.engine.refinement.splat_descent import gradients, to_parameters
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.model import GeoLRM, SplatUpdateConfig
from geolrm.export.model.geometry import project
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.training.config import LossConfig, OptimizerConfig
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.loop import TrainingDiverged
from geolrm.training.objective import Objective
from geolrm.training.refinement import (
    Judged,
    Network,
    activated,
    input_targets,
    refine,
    summed_gradients,
)
from geolrm.training.rendering import choose_rasterizer
from geolrm.training.run_folder import RunFolder
from geolrm.training.sources import EpisodeSource
from geolrm.training.stages import prepare
from geolrm.training.validation import Validation

UPDATE = SplatUpdateConfig(width=16, shared=4, steps=2, views=2)
LOSSES = LossConfig(
    occupancy=0, l1=0, mse=1, dissimilarity=0.5, alpha=0, depth_l1=0, surface=0.5, logarithmic=True
)


@pytest.fixture(scope="module")
def recipe():
    """One encoder, as mini has it; bf16, several objects a step."""
    return tiny_recipe(
        replace(model_with_cues(), update=UPDATE), steps=4, stage="refinement", losses=LOSSES,
        true_anchor_steps=100, precision="bf16", objects_per_step=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def initial(recipe):
    torch.manual_seed(3)
    return GeoLRM(recipe.model).state_dict()


@pytest.fixture(scope="module")
def episode(recipe):
    return EpisodeSource(meshes(1), ["first"], recipe)[0]


def objective(recipe, initial):
    model = GeoLRM(recipe.model)
    model.load_state_dict(initial)
    prepare(model, recipe.stage)
    return Objective(model, recipe, choose_rasterizer("cpu", torch.device("cpu"), 1))


def gaussians(count=40, seed=0):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    arrays = (
        rng.uniform(-0.3, 0.3, (count, 3)), rng.uniform(0.2, 0.9, count),
        rng.uniform(0.02, 0.1, (count, 3)), quats / np.linalg.norm(quats, axis=1, keepdims=True),
        rng.uniform(0.1, 0.9, (count, 3)),
    )  # fmt: skip
    return Gaussians(*(array.astype(np.float32) for array in arrays))


def decoded(scene):
    names = DecodedGaussians._fields
    return DecodedGaussians(**{name: torch.from_numpy(getattr(scene, name)) for name in names})


def rows(parameters):
    return torch.from_numpy(rows_of(parameters))


def test_rows_are_activated_as_the_engine_does():
    scene = gaussians()
    splats = rows(to_parameters(scene))
    for part, expected in zip(activated(splats), decoded(scene), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-6)


def test_inputs_are_compared_in_the_size_that_the_engine_compares(episode):
    targets = input_targets(episode)
    assert len(targets) == len(episode.foreground) and targets.size == REFERENCE_SIZE == 256
    np.testing.assert_array_equal(targets.premultiplied[1, :, :, 2], episode.reference[1, 2])
    np.testing.assert_array_equal(targets.alpha, episode.reference[:, 3])
    assert targets.weights is None
    point = torch.tensor([[0.1, -0.2, 0.3]])  # is seen where the model's cross-attention looks
    frame = targets.frame
    camera = frame.intrinsics[1] @ (frame.w2c[1] @ np.append(point[0].double().numpy(), 1))[:3]
    seen = project(point, episode.projection)[1, 0].numpy()
    assert camera[:2] / camera[2] / 256 == pytest.approx(seen, abs=1e-5)
    valid = (torch.rand(episode.reference[:, 0].shape) > 0.5).float()
    known = input_targets(replace(episode, reference_valid=valid))
    np.testing.assert_array_equal(known.weights, valid)


def test_both_images_of_an_input_show_the_same(episode):
    wide = torch.nn.functional.interpolate(episode.foreground, size=256, mode="bilinear")
    assert (wide - episode.reference).abs().mean() < 0.02
    assert 0.02 < episode.reference[:, 3].mean() < 0.98


def test_inputs_that_end_early_are_known_where_they_are(recipe):
    cut = replace(recipe, conditions=ConditionConfig(cut=1.0))
    episode = EpisodeSource(meshes(1), ["first"], cut)[0]
    known = episode.reference_valid
    assert known.shape == episode.reference[:, 0].shape and 0.3 < known.mean() < 1
    assert (episode.reference * (1 - known[:, None])).abs().max() < 1e-3
    assert episode.valid.shape == episode.foreground[:, 0].shape
    assert episode.valid.mean() == pytest.approx(float(known.mean()), abs=0.05)


def test_gradients_add_up_over_views(episode):
    scene, targets = gaussians(), input_targets(episode)
    shade, chosen = np.array([0.2, 0.9, 0.4], np.float32), list(range(len(targets)))
    splats = rows(to_parameters(scene))
    total, magnitude, seen = summed_gradients(splats, scene, targets, chosen, shade, 1)
    together = rows(gradients(scene, targets, chosen, shade, None, 1)[0])
    torch.testing.assert_close(total, together, rtol=1e-3, atol=1e-3)
    apart = [summed_gradients(splats, scene, targets, [v], shade, 1) for v in chosen]
    assert torch.equal(total, sum(part[0] for part in apart))
    assert torch.equal(magnitude, sum(part[0].abs() for part in apart))
    assert torch.equal(seen, sum(part[2] for part in apart)) and seen.max() == len(chosen)


def test_what_is_behind_the_cameras_is_not_seen(episode):
    scene = gaussians()
    scene.means[:5] += 100
    splats = rows(to_parameters(scene))
    seen = summed_gradients(splats, scene, input_targets(episode), [0], np.ones(3, np.float32), 1)[
        2
    ]
    assert seen[:5].tolist() == [0] * 5 and seen[5:].max() == 1


@pytest.mark.parametrize(("inputs", "most"), [(3, 6), (9, 10)])
def test_no_more_steps_are_taken_than_the_engine_takes(recipe, inputs, most):
    assert budget_of("balanced", inputs).learned == most
    recipe = replace(recipe, views=replace(recipe.views, min_inputs=inputs, max_inputs=inputs))
    episode = EpisodeSource(meshes(1), ["first"], recipe)[0]

    def judge(splats, shade):
        value = splats.means.sum().square()
        return Judged(value, {"mse": value}, None)

    for asked, taken in ((14, most), (2, 2)):
        update, generator = Shift(), torch.Generator().manual_seed(0)
        network = Network(update, SplatUpdateConfig(steps=asked, views=2))
        refine(network, None, decoded(gaussians()), episode, judge, generator)
        progress = [given[-1] for given in update.given]
        torch.testing.assert_close(torch.stack(progress), torch.arange(1, taken + 1) / asked)


def test_weights_change_after_each_step_on_an_object(episode):
    """What a step starts from was made by the weights before; it is made by those after."""
    update = Shift()

    def judge(splats, shade):
        value = splats.means.sum()
        return Judged(value, {"mse": value.square()}, None)

    def learn(loss):
        loss.backward()
        with torch.no_grad():
            update.shift *= 2

    network = Network(update, SplatUpdateConfig(steps=3, views=2))
    generator = torch.Generator().manual_seed(0)
    refine(network, None, decoded(gaussians()), episode, judge, generator, learn=learn)
    first, *_ = update.given[0]
    moved = [float((splats - first).mean()) for splats, *_ in update.given]
    assert moved == pytest.approx([0, 1e-3, 3e-3], abs=1e-6)


class Shift(torch.nn.Module):
    """An update that adds the same to every number, and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(1e-3))
        self.given = []

    def forward(self, splats, start, *rest):
        self.given.append((splats, start, *rest))
        return splats + self.shift, rest[4] + 1, rest[5] + 2


def test_gradients_go_through_the_change_of_their_step_alone(episode):
    update, shades = Shift(), []

    def judge(splats, shade):
        shades.append(shade)
        value = splats.means.sum()
        return Judged(value, {"mse": value.square()}, None)

    network = Network(update, SplatUpdateConfig(steps=3, views=2))
    generator = torch.Generator().manual_seed(0)
    learn = torch.Tensor.backward
    found = refine(network, None, decoded(gaussians()), episode, judge, generator, learn=learn)
    count = update.given[0][0].shape[1]
    assert update.shift.grad == pytest.approx(9 * count)  # 18 through the steps before
    for number, (splats, start, *_, mean, square, views, step, progress) in enumerate(update.given):
        assert not splats.requires_grad
        torch.testing.assert_close(splats, start + number * 1e-3)
        assert mean.unique() == number and square.unique() == 2 * number
        assert (views, step) == (2, number + 1) and progress == pytest.approx((number + 1) / 3)
    assert not torch.equal(shades[0], shades[1]) and torch.equal(shades[-1], shades[-2])
    assert found.terms["gain"] == pytest.approx(
        10 * np.log10(float(found.terms["mse_before"] / found.terms["mse"].detach())), abs=1e-5
    )


@pytest.mark.parametrize("inputs", [3, 9])
def test_the_closing_network_comes_after_the_descent(recipe, inputs):
    """It sees where the descent began and ended, of what has not come to lie inside."""
    recipe = replace(recipe, views=replace(recipe.views, min_inputs=inputs, max_inputs=inputs))
    update, closing = (Network(Shift(), SplatUpdateConfig(steps=1, views=n)) for n in (2, 64))
    values = []

    def judge(splats, shade):
        values.append(splats.means.sum())
        return Judged(values[-1], {"mse": values[-1].square()}, None)

    episode = EpisodeSource(meshes(1), ["first"], recipe)[0]
    generator = torch.Generator().manual_seed(0)
    learned = []

    def learn(loss):
        learned.append(float(loss.detach()))
        loss.backward()

    found = refine(update, closing, decoded(gaussians()), episode, judge, generator, learn=learn)
    assert learned == [float(value.detach()) for value in values[:2]]
    torch.testing.assert_close(found.total, (values[0] + values[1]).detach())
    splats, start, *_, views, step, progress = closing.module.given[0]
    before, kept = update.module.given[0][0] + 1e-3, start.shape[1]
    assert update.module.shift.grad == pytest.approx(3 * before.shape[1])
    assert closing.module.shift.grad == pytest.approx(3 * kept)
    assert 0 < kept <= before.shape[1]
    own = (before[:, :, None] - start[:, None]).abs().amax(0) < 1e-6  # [N, M]
    assert own.any(0).all() and own.float().argmax(0).diff().min() > 0  # in their order
    assert (views, step, progress) == (inputs, 1, 1)
    moved = (splats - start).abs()
    assert moved[:3].max() > 0.01 and moved[11:].max() > 0.01


@pytest.mark.parametrize("inputs", [3, 8])
def test_both_networks_are_trained(recipe, inputs, tmp_path):
    closes = replace(
        recipe, model=replace(recipe.model, closing=replace(UPDATE, steps=1)), steps=1,
        optimizer=OptimizerConfig(weight_decay=0.0),
        views=replace(recipe.views, min_inputs=inputs, max_inputs=inputs),
    )  # fmt: skip
    initial = GeoLRM(closes.model).state_dict()
    state, _ = run(tmp_path / "run", closes, initial=initial)
    changed = {
        name.split(".")[0]
        for name, value in state.model.state_dict().items()
        if not torch.equal(value, initial[name])
    }
    assert changed == {"splat_update", "splat_closing"}


def test_the_closing_network_is_trained_alone(recipe, tmp_path):
    model = replace(recipe.model, closing=replace(UPDATE, steps=1))
    closes = replace(recipe, model=model, steps=1, stage="closing")
    initial = GeoLRM(closes.model).state_dict()
    state, records = run(tmp_path / "run", closes, initial=initial)
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, initial[name]) != name.startswith("splat_closing."), name
    assert records[0]["gradient"] > 0


def test_of_a_frozen_network_only_the_last_step_is_judged(episode):
    update, closing = Shift().requires_grad_(False), Shift()
    values, learned = [], []

    def judge(splats, shade):
        values.append(splats.means.sum())
        return Judged(values[-1], {"mse": values[-1].square()}, None)

    networks = (
        Network(update, SplatUpdateConfig(steps=4, views=2)),
        Network(closing, SplatUpdateConfig(steps=1, views=64)),
    )
    generator = torch.Generator().manual_seed(0)
    refine(*networks, decoded(gaussians()), episode, judge, generator, learn=learned.append)
    assert len(update.given) == 4 and len(closing.given) == 1
    assert [value.requires_grad for value in values] == [False, True, False]  # with that before
    assert [float(loss.detach()) for loss in learned] == [float(values[1].detach())]


def test_hidden_splats_are_dropped_first(episode):
    scene = gaussians()
    scene.opacities[:7] = 1e-4
    update = Shift()

    def judge(splats, shade):
        value = splats.means.sum().square()
        return Judged(value, {"mse": value}, None)

    generator = torch.Generator().manual_seed(0)
    refine(Network(update, UPDATE), None, decoded(scene), episode, judge, generator)
    assert 0 < update.given[0][0].shape[1] <= len(scene) - 7
    assert update.given[0][0][3].min() > -5  # logits of opacities


def test_only_the_update_network_is_trained(recipe, initial, tmp_path):
    state, records = run(tmp_path / "run", recipe, initial=initial)
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, initial[name]) != name.startswith("splat_update."), name
        if not name.startswith("splat_update."):
            assert torch.equal(state.average.weights[name], value), name
    moments = {name.split(".")[2] for name in state.tensors() if name.startswith("optimizer.")}
    assert moments == {"splat_update"}
    assert {"mse", "mse_before", "gain", "surface", "iou", "anchors"} <= set(records[0])
    assert "occupancy" not in records[0] and records[0]["gradient"] > 0


def test_the_proposal_alone_chooses_anchors(recipe, initial, episode):
    judged = objective(recipe, initial)
    other = replace(episode, occupancy=1 - episode.occupancy)
    for logits in (torch.randn(8, 8, 8), -1 - torch.rand(8, 8, 8)):
        found = [
            judged.choose_anchors(logits, seen, 0, 5, torch.Generator().manual_seed(0))
            for seen in (episode, other)
        ]
        assert torch.equal(*found) and len(found[0]) > 0


def test_a_resumed_run_equals_an_uninterrupted_one(recipe, initial, tmp_path):
    whole, records = run(tmp_path / "whole", recipe, initial=initial)
    calls = iter([False, True])
    run(tmp_path / "run", recipe, initial=initial, stop=lambda: next(calls))
    state, resumed = run(tmp_path / "run", recipe)
    assert_equal_states(state, whole)
    timeless = lambda steps: [{**step, "seconds": 0} for step in steps]  # noqa: E731
    assert timeless(resumed) == timeless(records)
    model, _, _ = load_checkpoint(tmp_path / "run" / "weights.safetensors")
    assert model.config == recipe.model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state.average.weights[name]), name


def test_a_step_that_is_no_number_stops_the_run(recipe, initial, tmp_path):
    optimizer = OptimizerConfig(1e30, warmup=0, clip=1e9)
    with pytest.raises(TrainingDiverged, match=r"training diverged at step 0: .*mse"):
        run(tmp_path / "run", replace(recipe, optimizer=optimizer), initial=initial)


def test_a_reconstruction_that_is_no_number_stops_the_run(recipe, initial, tmp_path):
    damaged = {name: tensor.clone() for name, tensor in initial.items()}
    damaged["lrm_generator.renderer.latent_decoder.2.bias"][:] = torch.nan
    with pytest.raises(TrainingDiverged, match="training diverged at step 0"):
        run(tmp_path / "run", recipe, initial=damaged)


def test_it_is_judged_after_its_steps_and_before(recipe, initial, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(recipe, {})
    source = EpisodeSource(meshes(1), ["first"], recipe)
    validation = Validation(source, recipe, folder)
    _, records = run(tmp_path / "run", recipe, source, initial=initial, validate=validation)
    (found,) = folder.validations()
    kinds = ("views_6", "views_12", "drawn")
    assert found["score"] == pytest.approx(np.mean([found[f"{kind}_psnr"] for kind in kinds]))
    for kind in kinds:
        assert 0 < found[f"{kind}_psnr_before"] < 60
        assert found[f"{kind}_psnr_before"] != found[f"{kind}_psnr"]
        assert 0 < found[f"{kind}_surface"] < 1 and 0 < found[f"{kind}_dissimilarity"] < 1
    assert len(records) == recipe.steps


class Same(EpisodeSource):
    """The same example always; views and backgrounds of a step still vary."""

    def __getitem__(self, number):
        return super().__getitem__(0)


def test_it_learns_what_adam_does_not_do(recipe, initial, tmp_path):
    optimizer = OptimizerConfig(1e-2, warmup=2, weight_decay=0, average=0.5)
    longer = replace(recipe, steps=40, objects_per_step=1, optimizer=optimizer)
    source = Same(meshes(1), ["first"], longer)
    state, records = run(tmp_path / "run", longer, source, initial=initial)
    gain = [record["gain"] for record in records]
    assert np.mean(gain[-8:]) > np.mean(gain[:8]) + 0.3
    losses = []
    for weights in (initial, state.average.weights):  # on the same views and backgrounds
        judged = objective(longer, weights)
        losses.append(np.mean([float(judged(source[0], 0, n).total.detach()) for n in range(8)]))
    assert losses[1] < 0.95 * losses[0]
