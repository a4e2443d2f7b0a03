"""What a run gives on every backend: the CPU, doubles of a GPU, and a GPU where there is one.

``geolrm bench gpu`` runs the cases of real GPUs. What one backend alone promises is tested beside
it, in ``backends/``; what is refused before any backend is asked, in ``test_engine.py``.
"""

import numpy as np
import pytest
import torch
from doubles.device import use_gpu_double
from samples.engines import BACKENDS, GPUS
from samples.gpu_bundles import write_gpu_bundle

from geolrm import Cameras, Engine, Gaussians
from geolrm.engine.backends.cuda.gaussians import DeviceGaussians
from geolrm.engine.geometry.voxel_grid import voxel_axis
from geolrm.engine.views.preprocessing import prepare_views
from geolrm.export.checkpoint import load_checkpoint

FIELDS = ("means", "opacities", "scales", "quats", "colors")
STAGES = {"prepare", "encode", "propose", "select", "reconstruct", "total"}
GIVEN = np.array([[0.5, -0.5, 0.1], [-0.25, 0, 0], [0.5, -0.5, 0.1]], np.float32)
EVERYWHERE = [*BACKENDS, *(pytest.param(o, id=n, marks=pytest.mark.gpu) for n, o in GPUS)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(params=EVERYWHERE)
def opened(request, monkeypatch, gpu_bundles, folder):
    return request.param(monkeypatch, gpu_bundles, folder)


@pytest.fixture
def precision(opened):
    """The most exact that the backend has."""
    return next(iter(opened.tolerances))


@pytest.fixture
def near(opened, precision):
    """How far results may be from the CPU's."""
    return opened.tolerances[precision]


@pytest.fixture
def subject(opened, precision):
    return opened.engine(precision=precision)


@pytest.fixture
def exact(subject, precision):
    """A subject that chooses the CPU's anchors."""
    if precision != "fp32":
        pytest.skip("in half precision other voxels may be occupied")
    return subject


@pytest.fixture
def again(opened, near):
    """How far a repeated call may be from the first."""
    return 0 if opened.repeats else near


def assert_close(scene, expected, atol):
    np.testing.assert_array_equal(scene.anchors, expected.anchors)
    if expected.logits is not None:
        np.testing.assert_allclose(scene.logits, expected.logits, rtol=0, atol=5 * atol)
    for name in FIELDS:
        got, wanted = (getattr(s.gaussians, name) for s in (scene, expected))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("variant", ["token", "head"])
def test_a_run_equals_the_cpu(exact, opened, precision, near, views, variant):
    engine = opened.engine(variant, precision)
    assert engine.backend == opened.backend
    expected = opened.on_the_cpu(variant, precision).run(*views)
    scene = engine.run(*views)
    assert len(scene.anchors) == len(expected.anchors) > 30
    assert scene.num_occupied == expected.num_occupied
    assert_close(scene, expected, near)


def test_a_run_equals_torch(exact, near, models, views):
    model = models["token"]
    posed = prepare_views(*views, model.config.image_size)
    arrays = (posed.images, posed.c2w, posed.intrinsics)
    with torch.inference_mode():
        truth = model(*map(torch.from_numpy, arrays))
    scene = exact.run(*views)
    near = max(near, 1e-4)
    np.testing.assert_array_equal(scene.anchors, truth.anchors)
    np.testing.assert_allclose(scene.logits, truth.logits, atol=5 * near)
    for name in FIELDS:
        expected = getattr(truth.gaussians, name)
        np.testing.assert_allclose(getattr(scene.gaussians, name), expected, atol=near)


def test_every_precision_follows_the_cpu(opened, views):
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
    for precision, near in opened.tolerances.items():
        expected = opened.on_the_cpu(precision=precision).run(*views, anchors=anchors)
        engine = opened.engine(precision=precision)
        for _ in range(4):  # queued, captured, replayed
            scene = engine.run(*views, anchors=anchors)
            assert_close(scene, expected, near)
        for name in FIELDS:
            got, wanted = (getattr(s.gaussians, name) for s in (scene, expected))
            used_half = precision != "fp32" and opened.backend != "onnxruntime"
            assert not used_half or np.abs(got - wanted).max() > 0


def test_scene_and_engine_are_described(subject, opened, views):
    scene = subject.run(*views)
    assert set(scene.timings) == STAGES
    assert len(scene.gaussians) == 4 * len(scene.anchors)
    assert scene.logits.shape == (8, 8, 8) and "Gaussians from" in repr(scene)
    assert repr(subject).startswith(f"Engine(tiny, {opened.said}")
    assert repr(subject).endswith(", 56 px, token attention)")


def test_the_same_call_gives_the_same_result(subject, again, views):
    first = subject.run(*views)
    for _ in range(2):
        assert_close(subject.run(*views), first, again)


def test_results_survive_the_next_run(subject, views):
    images, cameras = views
    first = subject.run(images, cameras)
    kept = first.gaussians.means.copy(), first.logits.copy()
    subject.run(images[::-1].copy(), Cameras(cameras.c2w, cameras.intrinsics), max_tokens=30)
    np.testing.assert_array_equal(first.gaussians.means, kept[0])
    np.testing.assert_array_equal(first.logits, kept[1])


def test_live_capture_equals_run(exact, opened, near, views):
    """To the bit on the CPU; elsewhere products of another size may round differently."""
    images, cameras = views
    live = exact.live()
    for count in (1, 2, 3):
        live.add(images[count - 1], cameras[[count - 1]])
        scene = exact.run(images[:count], cameras[list(range(count))], seed=3)
        assert_close(live.run(seed=3), scene, 0 if opened.repeats and count == 1 else near)
    assert len(live) == 3
    grown = live.run(output="device")
    assert_close(grown.numpy(), exact.run(*views), near)


def test_seed_and_max_tokens_choose_the_subset(exact, opened, precision, near, again, views):
    expected = opened.on_the_cpu(precision=precision)
    for options in (
        {"max_tokens": 20},
        {"max_tokens": 20, "seed": 2**40 + 1},
        {"max_tokens": 20, "selection": "confident"},
    ):
        scene = exact.run(*views, **options)
        assert len(scene.anchors) == 20
        assert_close(scene, expected.run(*views, **options), near)
        assert_close(exact.run(*views, **options), scene, again)
        if "selection" in options:
            logits = scene.logits[tuple(np.searchsorted(voxel_axis(8), scene.anchors).T)]
            assert logits.min() >= np.sort(scene.logits.ravel())[-20]
    a, b = (exact.run(*views, max_tokens=20, seed=seed).anchors for seed in (0, 1))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("output", ["numpy", "device"])
def test_given_anchors_skip_selection_and_keep_their_order(subject, again, views, output):
    scene = subject.run(*views, anchors=GIVEN, output=output).numpy()
    np.testing.assert_array_equal(scene.anchors, GIVEN)
    assert scene.logits is None and len(scene.gaussians) == 12
    twins = scene.gaussians.means[:4], scene.gaussians.means[8:]
    np.testing.assert_allclose(*twins, rtol=0, atol=again)


def test_the_head_variant_pads_to_its_fixed_length(opened, precision, views):
    engine = opened.engine("head", precision)
    assert len(engine.run(*views).anchors) == engine.manifest.padded_anchors == 64
    scene = engine.run(*views, max_tokens=300)  # more than are occupied
    assert len(scene.anchors) == 300 > scene.num_occupied
    assert not scene.anchors[scene.num_occupied :].any()


def test_refinement_follows_the_reconstruction(subject, opened, again, views):
    scene = subject.run(*views, refine_steps=2)
    assert set(scene.timings) == STAGES | {"refine"}
    assert np.isfinite(scene.gaussians.means).all() and len(scene.gaussians)
    kept = subject.run(*views, refine_steps=2, output="device").gaussians
    assert isinstance(kept, Gaussians if opened.backend == "onnxruntime" else DeviceGaussians)
    for name in FIELDS:  # they went back to where they came from
        got, expected = getattr(kept.numpy(), name), getattr(scene.gaussians, name)
        np.testing.assert_allclose(got, expected, rtol=0, atol=again)


def test_stages_give_arrays_that_numpy_reads(subject, views):
    prepared = subject.prepare(*views)
    features = subject.encode(prepared)
    assert np.asarray(features.proposal).shape == (3, 14 * 14 + 8 * 8, 12)
    proposal = subject.propose(features, prepared)
    assert np.asarray(proposal.logits).shape == (8, 8, 8)
    gaussians = subject.reconstruct(features, prepared, GIVEN)
    assert isinstance(gaussians, Gaussians) and len(gaussians) == 12


def test_results_may_stay_where_they_are(subject, again, views, tmp_path):
    """Other libraries read them in place, and NumPy gets copies."""
    expected = subject.run(*views)
    scene = subject.run(*views, output="device")
    copied = scene.numpy()
    assert isinstance(copied.gaussians, Gaussians) and isinstance(copied.anchors, np.ndarray)
    assert copied.timings == scene.timings
    assert_close(copied, expected, again)
    for name in FIELDS:
        array = getattr(scene.gaussians, name)
        assert array.__dlpack_device__() and array.shape == getattr(expected.gaussians, name).shape
    scene.gaussians.save(tmp_path / "a.ply")
    assert len(Gaussians.load(tmp_path / "a.ply")) == len(scene.gaussians)
    assert len(scene.gaussians.select(np.arange(5))) == 5
    moved = scene.gaussians.transformed(np.diag([2.0, 2, 2, 1]))
    np.testing.assert_allclose(moved.means, 2 * copied.gaussians.means, rtol=1e-6)


def test_scenes_are_rendered(subject, views):
    """90 dB and 0.01 from the CPU's rasterizer, wherever the scene is."""
    for output in ("numpy", "device"):
        scene = subject.run(*views, output=output)
        images = scene.render(size=(40, 32), background=(0.2, 0.5, 0.1), output=output).numpy()
        expected = scene.render(size=(40, 32), background=(0.2, 0.5, 0.1), backend="cpu")
        assert np.ptp(expected.alpha) > 0.5
        for name in ("rgb", "alpha", "depth"):
            error = np.abs(getattr(images, name) - getattr(expected, name))
            assert error.max() <= 0.01 and np.square(error).mean() <= 1e-9, name


@pytest.mark.long
def test_mini_in_half_precision_follows_the_cpu(monkeypatch, tmp_path, shoe):
    """On the double of CUDA; a real GPU's is timed and checked by ``geolrm bench gpu``."""
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    model, *_ = load_checkpoint("mini")
    folder = write_gpu_bundle(model, tmp_path / "mini", "fp16", name="mini")
    chosen = shoe.subset(shoe.cameras.spread(2))
    options = {"max_tokens": 64, "refine_steps": 0}
    expected = Engine(folder, backend="onnxruntime").run(chosen.images, chosen.cameras, **options)
    engine = Engine(folder)
    assert engine.backend == "cuda"
    scene = engine.run(chosen.images, chosen.cameras, **options)
    np.testing.assert_allclose(scene.logits, expected.logits, atol=1e-2)
    given = engine.run(chosen.images, chosen.cameras, anchors=expected.anchors, refine_steps=0)
    for name in FIELDS:
        got, wanted = (getattr(s.gaussians, name) for s in (given, expected))
        np.testing.assert_allclose(got, wanted, atol=5e-3)
        assert np.abs(got - wanted).mean() < 2e-4
