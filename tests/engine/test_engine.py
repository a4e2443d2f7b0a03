import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from geolrm import Cameras, Engine, InputError
from geolrm.engine.geometry.voxel_grid import voxel_axis
from geolrm.engine.views.preprocessing import prepare_views

FIELDS = ("means", "opacities", "scales", "quats", "colors")


def assert_identical(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a.gaussians, field), getattr(b.gaussians, field))
    np.testing.assert_array_equal(a.anchors, b.anchors)


def test_run_equals_torch(engine, models, shoe_views):
    images, cameras = shoe_views
    scene = engine.run(images, cameras)
    model = models["token"]
    views = prepare_views(images, cameras, model.config.image_size)
    with torch.inference_mode():
        truth = model(*(torch.from_numpy(a) for a in (views.images, views.c2w, views.intrinsics)))
    np.testing.assert_allclose(scene.logits, truth.logits, atol=1e-4)
    np.testing.assert_array_equal(scene.anchors, truth.anchors)
    for field in FIELDS:
        expected = getattr(truth.gaussians, field)
        np.testing.assert_allclose(getattr(scene.gaussians, field), expected, atol=1e-4)


def test_scene_is_described(engine, shoe_views):
    scene = engine.run(*shoe_views)
    assert set(scene.timings) == {"prepare", "encode", "propose", "select", "reconstruct", "total"}
    assert len(scene.gaussians) == 4 * len(scene.anchors)
    assert "Gaussians from" in repr(scene)
    assert "tiny, onnxruntime fp32, 2 threads, 56 px, token attention" in repr(engine)


@pytest.mark.parametrize("variant", ["token", "head"])
def test_bit_identical_for_one_and_two_threads_and_repeats(bundles, shoe_views, variant):
    one, two = (Engine(bundles[variant], threads=n) for n in (1, 2))
    first = one.run(*shoe_views)
    assert_identical(first, two.run(*shoe_views))
    assert_identical(first, one.run(*shoe_views))


def test_mini_is_bit_identical_for_one_and_two_threads(shoe):
    chosen = shoe.subset(shoe.cameras.spread(6))
    scenes = [Engine("mini", threads=n).run(chosen.images, chosen.cameras) for n in (1, 2)]
    assert_identical(*scenes)
    assert len(scenes[0].gaussians) > 500


def test_live_capture_is_bit_identical_to_run(engine, shoe_views):
    images, cameras = shoe_views
    live = engine.live()
    for count in range(1, len(images) + 1):
        live.add(images[count - 1], cameras[[count - 1]])
        assert_identical(live.run(seed=3), engine.run(images[:count], cameras[:count], seed=3))
    assert len(live) == 4


def test_live_add_takes_a_matrix_and_intrinsics(engine, shoe_views):
    images, cameras = shoe_views
    live = engine.live()
    live.add(images[0], cameras.c2w[0], intrinsics=cameras.intrinsics[0])
    assert_identical(live.run(), engine.run(images[:1], cameras[:1]))


def test_live_without_views(engine):
    with pytest.raises(InputError, match="add at least 1 view before run"):
        engine.live().run()


def test_results_survive_the_next_run(engine, shoe_views):
    images, cameras = shoe_views
    first = engine.run(images, cameras)
    kept = first.gaussians.means.copy(), first.logits.copy()
    engine.run(images[::-1].copy(), Cameras(cameras.c2w, cameras.intrinsics), max_tokens=30)
    np.testing.assert_array_equal(first.gaussians.means, kept[0])
    np.testing.assert_array_equal(first.logits, kept[1])


def test_given_anchors_skip_selection_and_keep_their_order(engine, shoe_views):
    anchors = np.array([[0.5, -0.5, 0.1], [-0.25, 0, 0], [0.5, -0.5, 0.1]], np.float32)
    scene = engine.run(*shoe_views, anchors=anchors)
    np.testing.assert_array_equal(scene.anchors, anchors)
    assert scene.logits is None
    np.testing.assert_array_equal(scene.gaussians.means[:4], scene.gaussians.means[8:])


def test_seed_and_max_tokens_choose_the_subset(engine, shoe_views):
    a, b, c = (engine.run(*shoe_views, seed=s, max_tokens=20) for s in (0, 0, 1))
    assert len(a.anchors) == 20
    assert_identical(a, b)
    assert not np.array_equal(a.anchors, c.anchors)
    confident = engine.run(*shoe_views, max_tokens=20, selection="confident")
    logits = confident.logits[tuple(np.searchsorted(voxel_axis(8), confident.anchors).T)]
    assert logits.min() >= np.sort(confident.logits.ravel())[-20]


def test_head_variant_pads_to_its_fixed_length(bundles, shoe_views):
    engine = Engine(bundles["head"])
    assert len(engine.run(*shoe_views).anchors) == engine.manifest.padded_anchors == 64
    scene = engine.run(*shoe_views, max_tokens=300)  # more than are occupied
    assert len(scene.anchors) == 300 > scene.num_occupied
    assert not scene.anchors[scene.num_occupied :].any()


def test_images_of_different_sizes_as_a_list(engine, shoe):
    chosen = shoe.subset([0, 12])
    smaller = chosen.images[1][::2, ::2]
    scene = engine.run([chosen.images[0], smaller], chosen.cameras)
    assert len(scene.views) == 2


def test_without_intrinsics_the_training_fov_is_taken_with_one_warning(bundles, shoe_views):
    engine = Engine(bundles["token"])
    images, cameras = shoe_views
    with pytest.warns(UserWarning, match="assuming the training field of view .* 50 degrees"):
        assumed = engine.run(images, cameras.c2w)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_identical(assumed, engine.run(images, cameras.c2w))
        assert_identical(assumed, engine.run(images, cameras.c2w, fov=50))
    np.testing.assert_allclose(assumed.views.intrinsics[0, 0, 0], 0.5 / np.tan(np.deg2rad(25)))


def test_one_engine_serves_several_threads(engine, shoe_views):
    images, cameras = shoe_views
    orders = [[0, 1], [2, 3], [0, 1, 2, 3]]
    expected = [engine.run(images[o], cameras[o]) for o in orders]
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(engine.run, images[o], cameras[o]) for o in orders * 6]
    for job, scene in zip(jobs, expected * 6, strict=True):
        assert_identical(job.result(), scene)


def test_public_stages_may_be_called_from_several_threads(engine, shoe_views):
    images, cameras = shoe_views
    orders = [[0, 1, 2], [3, 1, 0]]
    views = [engine.prepare(images[order], cameras[order]) for order in orders]
    anchors = np.array([[0.5, -0.5, 0.1], [-0.25, 0, 0]], np.float32)

    def stages(index):
        features = engine.encode(views[index])
        proposal = engine.propose(features, views[index])
        gaussians = engine.reconstruct(features, views[index], anchors)
        return features.proposal, proposal.logits, gaussians.means, gaussians.colors

    expected = [stages(0), stages(1)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(stages, [0, 1] * 20))
    for index, result in enumerate(results):
        for found, truth in zip(result, expected[index % 2], strict=True):
            np.testing.assert_array_equal(found, truth)


@pytest.fixture(scope="module")
def empty_engine(tmp_path_factory):
    from conftest import tiny_config, tiny_model, write_tiny

    model = tiny_model(tiny_config())
    model.serializer.upsample.bias -= 1e3
    return Engine(write_tiny(model, tmp_path_factory.mktemp("empty") / "bundle"))


def test_empty_occupancy_gives_no_gaussians_and_a_warning(empty_engine, shoe_views, tmp_path):
    with pytest.warns(UserWarning, match="no voxel is occupied, so the scene has no Gaussians"):
        scene = empty_engine.run(*shoe_views)
    assert len(scene.gaussians) == 0
    scene.gaussians.save(tmp_path / "empty.ply")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; it must be a whole number from 1"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5; it must be a whole number"),
        ({"max_tokens": True}, "max_tokens is True; it must be a whole number"),
        ({"anchors": "abc"}, "anchors are not an array of numbers"),
        ({"fov": "50"}, "fov is '50'; it must be in degrees"),
        ({"intrinsics": [[1, 2], [3]]}, "intrinsics are not an array of numbers"),
        ({"max_tokens": 600}, "max_tokens is 600; .* --tokens 1:64:600"),
        ({"selection": "best"}, "'best'; it must be 'random' or 'confident'"),
        ({"anchors": np.zeros((4, 2))}, r"anchors have shape \(4, 2\); they must be \[M, 3\]"),
        ({"anchors": np.full((1, 3), np.nan)}, "every coordinate must be finite"),
        ({"anchors": np.full((1, 3), 0.7)}, "outside the object cube"),
        ({"anchors": np.zeros((600, 3))}, "600 anchors were given; this bundle takes 1 to 512"),
        ({"intrinsics": np.eye(3) * 300, "fov": None}, "which look like pixels"),
        ({"intrinsics": np.eye(3), "fov": 50}, "both intrinsics and fov were given"),
        ({"fov": 1.2e-3}, "it must be in degrees"),
        ({"seed": "a"}, "seed is 'a'; it must be a whole number"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_broken_arguments_are_named(engine, shoe_views, change, message):
    with pytest.raises(InputError, match=message):
        engine.run(*shoe_views, **change)


def test_too_many_views(engine, shoe):
    with pytest.raises(InputError, match="38 views were given; this bundle takes 1 to 21"):
        engine.run(shoe.images, shoe.cameras)


def test_views_and_poses_must_agree(engine, shoe_views):
    images, cameras = shoe_views
    with pytest.raises(InputError, match="3 images but 4 poses"):
        engine.run(images[:3], cameras)


def test_engine_options(bundles):
    with pytest.raises(InputError, match="backend is 'tpu'; it must be one of auto, tensorrt-rtx"):
        Engine(bundles["token"], backend="tpu")
    for threads in (0, 1.5, "2", 100_000):
        with pytest.raises(InputError, match="it must be a whole number from 1 to 1024"):
            Engine(bundles["token"], threads=threads)


def test_what_is_no_batch_of_images_is_named(engine, shoe_views):
    images, cameras = shoe_views
    with pytest.raises(InputError, match=r"which is one image; give \[V, H, W, 3\|4\]"):
        engine.run(images[0], cameras)
    with pytest.raises(InputError, match="images are NoneType"):
        engine.run(None, cameras)
    with pytest.raises(InputError, match="no poses were given"):
        engine.run(images, None)


def test_opaque_images_on_black_warn(engine, shoe_views):
    images, cameras = shoe_views
    with pytest.warns(UserWarning, match="image 0 has no alpha and its border is not white"):
        engine.run(images[:1, ..., :3] * 0, cameras[:1])
