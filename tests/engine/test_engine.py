from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geolrm import Engine, InputError
from geolrm.engine.refinement.poses import Round

FIELDS = ("means", "opacities", "scales", "quats", "colors")


def assert_identical(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a.gaussians, field), getattr(b.gaussians, field))
    np.testing.assert_array_equal(a.anchors, b.anchors)


THREADS = (1, 2, 3, 8, 16, 64)


@pytest.fixture
def many_cores(monkeypatch):
    """As many as the most threads, so that all of them are started."""
    monkeypatch.setattr("geolrm.engine.system.cores.usable_cores", lambda: max(THREADS))


@pytest.mark.parametrize("variant", ["token", "head"])
def test_bit_identical_for_any_number_of_threads_and_repeats(
    many_cores, bundles, shoe_views, variant
):
    engines = [Engine(bundles[variant], threads=n) for n in THREADS]
    assert [engine.threads for engine in engines] == list(THREADS)
    first, *others = [engine.run(*shoe_views) for engine in engines]
    for other in (*others, engines[0].run(*shoe_views)):
        assert_identical(first, other)


def test_all_stages_of_mini_are_bit_identical_for_any_number_of_threads(many_cores, shoe):
    """An odd number of anchors, so that parts of an operation end where no vector does."""
    chosen = shoe.subset(shoe.cameras.spread(3))

    def stages(threads):
        engine = Engine("mini", threads=threads)
        views = engine.prepare(chosen.images, chosen.cameras)
        features = engine.encode(views)
        proposal = engine.propose(features, views)
        scene = engine.run(chosen.images, chosen.cameras, max_tokens=777, refine_steps=3)
        return scene, (features.proposal, features.reconstruction, proposal.logits, proposal.volume)

    first, expected = stages(THREADS[0])
    assert len(first.anchors) == 777 and len(first.gaussians) > 500
    for threads in THREADS[1:]:
        scene, arrays = stages(threads)
        assert_identical(scene, first)
        for array, truth in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, truth)


def test_engines_with_other_threads_serve_side_by_side(many_cores, bundles, shoe_views):
    engines = [Engine(bundles["token"], threads=n) for n in (1, 2, 8)]
    expected = engines[0].run(*shoe_views)
    with ThreadPoolExecutor(3) as pool:
        scenes = list(pool.map(lambda engine: engine.run(*shoe_views), engines * 4))
    for scene in scenes:
        assert_identical(scene, expected)


def test_images_of_different_sizes_as_a_list(engine, shoe):
    chosen = shoe.subset([0, 12])
    smaller = chosen.images[1][::2, ::2]
    scene = engine.run([chosen.images[0], smaller], chosen.cameras)
    assert len(scene.views) == 2


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
    from samples.tiny_models import tiny_config, tiny_model, write_tiny

    model = tiny_model(tiny_config())
    model.serializer.upsample.bias -= 1e3
    return Engine(write_tiny(model, tmp_path_factory.mktemp("empty") / "bundle"))


def test_empty_occupancy_gives_no_gaussians_and_a_warning(empty_engine, shoe_views, tmp_path):
    with pytest.warns(UserWarning, match="no voxel is occupied, so the scene has no Gaussians"):
        scene = empty_engine.run(*shoe_views)
    assert len(scene.gaussians) == 0
    scene.gaussians.save(tmp_path / "empty.ply")


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("explained", [False, True])
def test_poses_are_refined_where_they_look_wrong_and_splats_alone_explain_nothing(
    monkeypatch, engine, shoe_views, wrong, explained
):
    asked = []
    part = Round(steps=1, size=32, most=2, rate=1e-3, turn=1.0)
    for name, value in (
        ("poses_look_wrong", lambda alignment: wrong),
        ("splats_explain", lambda *_, **more: asked.append(more) or explained),
        ("ROUNDS", (part,)),
    ):
        monkeypatch.setattr(f"geolrm.engine.engine.{name}", value)

    def moved(**choice):
        return engine.run(*shoe_views, refine_steps=1, **choice).alignment.moved

    found = engine.run(*shoe_views, refine_steps=1).alignment
    assert (found.moved, found.explained) == (wrong and not explained, wrong and explained)
    assert len(asked) == wrong
    assert moved(refine_poses=True) and not moved(refine_poses=False, shading=False)
    assert len(asked) == wrong  # nothing that was left to the engine depends on it
    assert not moved(refine_poses=False) and len(asked) == 2 * wrong  # shading does


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


def test_opaque_images_on_a_background_of_many_colours_warn(engine, shoe_views):
    images, cameras = shoe_views[0][:1, ..., :3] // 2, shoe_views[1][:1]
    images[:, ::2] += 100
    with pytest.warns(UserWarning, match="its border is neither white nor of one colour"):
        engine.run(images, cameras)


def test_a_background_of_one_colour_is_white_to_the_model(engine, shoe_views):
    """A green screen is keyed: the result is that of the image on white."""
    images, cameras = shoe_views[0][:1], shoe_views[1][:1]
    cut = images[..., 3:] > 127
    on_green, on_white = (
        np.where(cut, images[..., :3].clip(0, 240), color).astype(np.uint8)
        for color in ((20, 250, 30), (255, 255, 255))
    )
    scenes = [engine.run(seen, cameras, seed=0) for seen in (on_green, on_white)]
    np.testing.assert_array_equal(scenes[0].gaussians.means, scenes[1].gaussians.means)
