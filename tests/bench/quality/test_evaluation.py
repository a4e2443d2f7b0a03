"""The evaluation as a library."""

import dataclasses
import json
import shutil
import statistics
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from PIL import Image

from geolrm import Gaussians
from geolrm.bench.quality import (
    Evaluation,
    InputChanges,
    Report,
    evaluate,
    evaluation,
    input_frames,
    judging,
)
from geolrm.bench.quality.dataset import load_subject
from geolrm.bench.quality.judging import Judge
from geolrm.bench.quality.scores import BASELINES, BaselineScores, ObjectScores, average
from geolrm.engine.errors import GeoLRMError, InputError

SCORES = {"psnr", "ssim", "iou", "cd", "cd2", "f02", "f002", "groups"}
SCORES |= {"mesh_cd", "mesh_cd2", "mesh_f02", "mesh_f002"}
GROUPS = {"orbit_up", "orbit_level", "top", "bottom"}


@pytest.fixture(autouse=True, scope="module")
def small_meshes():
    """Meshes of a quarter of the voxels along an object: most of the time would go into them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "MESH_SIZE", 24)
        patch.setattr(judging, "MESH_VIEWS", 8)
        yield


@pytest.fixture(autouse=True)
def no_child_process(monkeypatch):
    monkeypatch.setattr(evaluation, "run_peak_bytes", lambda *_, **__: 12345)


@pytest.fixture(scope="module")
def baselines(dataset, small_meshes):
    return evaluate(dataset, views=[4, 6], model=None, threads=2, hull_steps=8)


def test_baselines_alone(baselines):
    assert list(baselines.views) == ["4", "6"] and list(baselines.objects) == ["ball", "box"]
    assert baselines.model is None and baselines.views["4"].psnr is None
    for scores in baselines.views.values():
        white, hull = scores.baselines["white"], scores.baselines["visual_hull"]
        assert (white.iou, white.cd, white.f02) == (0, None, 0)
        assert hull.psnr > white.psnr + 3 and hull.ssim > white.ssim
        assert hull.iou > 0.05 and hull.cd < 0.3 and hull.f02 > 0.8
        refined = scores.baselines["refined_hull"]
        assert refined.psnr > hull.psnr + 0.5 and refined.iou == hull.iou
        assert refined.seconds > hull.seconds > 0 and white.seconds is None
    assert baselines.views["4"].baselines["white"] == baselines.views["6"].baselines["white"]


def test_means_are_over_objects(baselines):
    hulls = [one.views["6"].baselines["visual_hull"] for one in baselines.objects.values()]
    mean = baselines.views["6"].baselines["visual_hull"]
    for name in ("psnr", "ssim", "iou", "cd", "cd2", "f02", "f002"):
        values = [getattr(hull, name) for hull in hulls]
        assert getattr(mean, name) == pytest.approx(statistics.fmean(values)), name
    tops = [hull.groups["top"] for hull in hulls]
    assert mean.groups["top"] == pytest.approx(statistics.fmean(tops))


def test_pooled_psnr_follows_from_the_groups(baselines):
    for one in baselines.objects.values():
        hull = one.views["4"].baselines["visual_hull"]
        shares = {"orbit_up": 4, "orbit_level": 12, "top": 1, "bottom": 1}
        error = sum(n * 10 ** (-hull.groups[g] / 10) for g, n in shares.items()) / 18
        assert hull.psnr == pytest.approx(-10 * np.log10(error))


def test_the_report_is_json_with_the_promised_keys(dataset, engine):
    shown = []
    report = Evaluation(dataset, views=[2], model=engine, hull_steps=1).run(show=shown.append)
    content = json.loads(report.to_json())
    view = content["views"]["2"]
    assert SCORES | {"seconds", "peak_bytes", "empty", "baselines"} == set(view)
    assert set(view["groups"]) == GROUPS and set(view["baselines"]) == set(BASELINES)
    assert all(set(scores) == SCORES | {"seconds"} for scores in view["baselines"].values())
    one = content["objects"]["ball"]["views"]["2"]
    assert SCORES | {"seconds", "gaussians", "baselines"} == set(one)
    assert content["protocol"]["inputs"] == {"2": input_frames(2)}
    assert content["protocol"]["targets"]["orbit_up"] == [5, 11, 17, 23]
    assert content["protocol"]["grid"] == 8 and content["model"]["name"] == "tiny"
    assert view["peak_bytes"] == 12345 and view["seconds"] > 0
    assert msgspec.json.decode(report.to_json(), type=Report) == report
    assert [(one.name, one.views, len(one.inputs), len(one.predictions)) for one in shown] == [
        ("ball", 2, 2, 18), ("box", 2, 2, 18),
    ]  # fmt: skip


def test_the_model_is_scored_on_what_the_engine_returns(dataset, engine):
    report = Evaluation(
        dataset, views=[3], model=engine, objects=["box"], seed=5, hull_steps=0
    ).run()
    subject = load_subject("box", dataset / "box")
    used = subject.capture.subset(input_frames(3))
    scene = engine.run(used.images, used.cameras, seed=5)
    judge = Judge(subject, grid=8, seed=5, threads=2)
    expected = judge.scores(judge.render(scene.gaussians), scene.gaussians, scene.logits > 0)
    scores = report.objects["box"].views["3"]
    assert {name: getattr(scores, name) for name in SCORES} == {
        name: getattr(expected, name) for name in SCORES
    }
    assert scores.gaussians == len(scene.gaussians) > 0


def test_refinement_is_noted_and_reaches_the_measure_of_memory(dataset, engine, monkeypatch):
    measured = []
    monkeypatch.setattr(evaluation, "run_peak_bytes", lambda *_, **call: measured.append(call))
    for quality, steps, noted in ((None, 0, (None, 0)), (None, 2, (None, 2)),
                                  ("fast", None, ("fast", None))):  # fmt: skip
        options = {"views": [2], "model": engine, "objects": ["box"], "refine_steps": steps}
        options |= {"hull_steps": 0, "quality": quality}
        report = Evaluation(dataset, **options).run()
        assert report.model is not None
        assert (report.model.quality, report.model.refine_steps) == noted
        assert (measured[-1]["quality"], measured[-1]["refine_steps"]) == (quality, steps)
        assert measured[-1]["backend"] == engine.backend == "onnxruntime"
    with pytest.raises(InputError, match="refine_steps is -1; it must be a whole number"):
        Evaluation(dataset, model=engine, refine_steps=-1)


def test_an_empty_reconstruction_scores_like_a_white_image(dataset, engine, monkeypatch, recwarn):
    run = engine.run

    def nothing(*arguments, **options):
        scene = run(*arguments, **options)
        shapes = ((0, 3), (0,), (0, 3), (0, 4), (0, 3))
        empty = Gaussians(*(np.empty(shape, np.float32) for shape in shapes))
        return dataclasses.replace(scene, gaussians=empty, logits=-np.ones_like(scene.logits))

    monkeypatch.setattr(engine, "run", nothing)
    report = Evaluation(dataset, views=[2], model=engine, objects=["ball"], hull_steps=0).run()
    scores, white = report.views["2"], report.views["2"].baselines["white"]
    assert {name: getattr(scores, name) for name in SCORES} == {
        name: getattr(white, name) for name in SCORES
    }
    assert scores.cd is None and scores.iou == 0 and scores.empty == 1
    assert not [warning for warning in recwarn if "no voxel" in str(warning.message)]


def test_the_mean_leaves_out_what_has_no_distance():
    def scores(psnr, cd, gaussians):
        baselines = {name: BaselineScores() for name in BASELINES}
        return ObjectScores(psnr=psnr, cd=cd, gaussians=gaussians, seconds=1, baselines=baselines)

    mean = average([scores(20, 0.5, 7), scores(10, None, 0)], None)
    assert (mean.psnr, mean.cd, mean.empty, mean.cd2) == (15, 0.5, 1, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": []}, r"views are \[\]; give numbers of views, each once"),
        ({"views": [4, 4]}, "each once"),
        ({"views": [21]}, "so give 1 to 20"),
        ({"seed": -1}, "seed is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"objects": ["cup"]}, "object 'cup' was asked for"),
        ({"hull_steps": -1}, "hull_steps is -1; it must be a whole number"),
        ({"transforms": "../a"}, "transforms is '../a'; it must be the name of a .json file in"),
        ({"transforms": "b.json"}, "no capture in .* has a file 'b.json'; name one that some have"),
        ({"lpips": "none.pth"}, "no LPIPS weights at 'none.pth'"),
    ],
)
def test_bad_options(dataset, options, message):
    with pytest.raises(InputError, match=message):
        Evaluation(dataset, **{"model": None, **options})


def test_numbers_of_views_that_the_bundle_refuses(dataset, engine, monkeypatch):
    manifest = msgspec.structs.replace(
        engine.manifest, views=msgspec.structs.replace(engine.manifest.views, max=5)
    )
    monkeypatch.setattr(engine, "manifest", manifest)
    with pytest.raises(InputError, match="6 views were asked for; this bundle takes 1 to 5"):
        Evaluation(dataset, views=[4, 6], model=engine)


def test_a_missing_extra_is_named(dataset, monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(GeoLRMError, match=r"needs scipy, .* pip install 'geolrm\[eval\]'"):
        Evaluation(dataset, model=None)


def test_torch_is_not_imported(dataset):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from geolrm.bench.quality import evaluate\n"
        f"report = evaluate({str(dataset)!r}, views=[1], model=None, objects=['ball'])\n"
        "print(report.views['1'].baselines['white'].iou, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0", "False"]


def evaluated(dataset, **options):
    defaults = {"views": [6], "model": None, "objects": ["box"], "hull_steps": 0, "threads": 2}
    report = evaluate(dataset, **(defaults | options))
    return report, report.views["6"].baselines["visual_hull"].psnr


@pytest.mark.parametrize(
    ("changes", "least"),
    [(InputChanges(cut=0.4), 0.5), (InputChanges(exposure=1.0), 0.2)],
    ids=["cut", "exposure"],
)
def test_changes_of_the_inputs_cost_and_are_noted(dataset, changes, least):
    plain, true = evaluated(dataset)
    assert plain.protocol.changes == {} and plain.protocol.transforms == "transforms.json"
    report, score = evaluated(dataset, changes=changes)
    assert score < true - least
    noted = {name: value for name, value in dataclasses.asdict(changes).items() if value}
    assert report.protocol.changes == noted


def test_wrong_poses_are_scored_after_one_similarity(dataset, monkeypatch):
    changes = InputChanges(pose_degrees=2.0, pose_shift=0.05)
    report, placed = evaluated(dataset, changes=changes)
    assert report.protocol.changes == {"pose_degrees": 2.0, "pose_shift": 0.05}
    assert evaluated(dataset, changes=changes)[1] == placed
    monkeypatch.setattr(Judge, "placed", lambda judge, gaussians: gaussians)
    assert evaluated(dataset, changes=changes)[1] < placed - 0.1


def test_changes_that_some_inputs_cannot_take_are_refused_before_anything_is_computed(dataset):
    changes, refused = InputChanges(pose_degrees=30.0), 0
    for seed in range(20):
        options = {"views": [4, 12], "model": None, "changes": changes, "seed": seed}
        try:
            ready = Evaluation(dataset, **options)
        except InputError as error:
            assert "after --pose-noise 30,0 the camera of 'rgb/" in str(error)
            refused += 1
        else:  # no input of the run is refused later
            for name, folder in ready.folders.items():
                for frames in ready.inputs.values():
                    ready._inputs(load_subject(name, folder), frames).check_facing()
    assert 0 < refused < 20


def test_the_measure_of_memory_is_of_the_changed_inputs(dataset, engine, monkeypatch):
    measured = []
    monkeypatch.setattr(
        evaluation, "run_peak_bytes", lambda *given, **call: measured.append((given, call))
    )
    changes = InputChanges(cut=0.3, exposure=0.5)
    options = {"views": [2], "model": engine, "objects": ["box"], "hull_steps": 0}
    ready = Evaluation(dataset, changes=changes, refine_steps=0, seed=3, **options)
    ready.run()
    ((given, call),) = measured
    assert given[1] == dataset / "box" / "transforms.json" and call["changes"] == changes
    subject = load_subject("box", dataset / "box")
    told = changes.apply(subject.capture.subset(given[2]), call["changes_seed"])
    for image, other in zip(told.images, ready._inputs(subject, given[2]).images, strict=True):
        np.testing.assert_array_equal(image, other)


def test_another_file_of_poses(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "captures")
    (copy / "box" / "transforms.json").rename(copy / "box" / "other.json")
    report = evaluate(copy, views=[2], model=None, hull_steps=0, transforms="other.json")
    assert list(report.objects) == ["box"] and report.protocol.transforms == "other.json"


def test_images_without_alpha_are_not_cut(dataset, tmp_path):
    copy = shutil.copytree(dataset / "box", tmp_path / "box")
    for path in (copy / "rgb").iterdir():
        with Image.open(path) as image:
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            white.convert("RGB").save(path)
    with pytest.raises(InputError) as caught:
        Evaluation(copy, model=None, changes=InputChanges(cut=0.2))
    assert str(caught.value).endswith(
        "image 0 has no alpha, which tells what is cut off it; give images with alpha to cut them"
    )
