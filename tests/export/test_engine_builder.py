"""What the backends ask of TensorRT, and what they write, against a builder that only records."""

import copy
import importlib.util
import shutil
import sys

import pytest
from doubles.tensorrt_builder import BuilderDouble
from onnx import numpy_helper
from samples.tiny_models import tiny_config, tiny_model

from geolrm import GeoLRMError
from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.manifest import GpuIdentity, Range, Source
from geolrm.export import bundle_writer, engine_builder
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.plugins import registration

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
)
HERE = Target("sm_89", GpuIdentity("sm_89", 76, 16_000_000_000), present=True)
TENSORRT = Choice("tensorrt", "fp16", (HERE,), "")
RTX = Choice(
    "tensorrt-rtx",
    "fp16",
    tuple(Target(sm, GpuIdentity(sm)) for sm in ("sm_86", "sm_120")),
    "",
)
STAGES = ("encoder_proposal", "encoder_reconstruction", "proposal", "reconstruction")
BIAS = "lrm_generator.renderer.latent_decoder.2.bias"
VIEWS, TOKENS = Range(1, 3, 21), Range(1, 64, 512)


@pytest.fixture(scope="module")
def builder():
    return BuilderDouble()


@pytest.fixture(scope="module", autouse=True)
def tensorrt(builder):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tensorrt", "tensorrt_rtx"):
            patch.setitem(sys.modules, name, builder)
        patch.setitem(sys.modules, "tensorrt.plugin", builder.plugin)
        patch.setattr(bundle_writer, "trace", trace_once())
        yield


def trace_once():
    """Tracing that remembers: these tests export the same architecture over and over."""
    traced, trace = [], bundle_writer.trace

    def remembered(model):
        if not traced:
            traced.extend(trace(model))
        graphs = copy.deepcopy(traced)
        for graph in graphs:  # with this model's bias, the one that a test changes
            for tensor in graph.model.graph.initializer:
                if tensor.name == BIAS:
                    value = model.state_dict()[BIAS].numpy()
                    tensor.CopyFrom(numpy_helper.from_array(value, BIAS))
        return graphs

    return remembered


@pytest.fixture(autouse=True)
def fresh(builder):
    builder.parse_error = builder.build_error = builder.refused_node = None
    builder.foreign_caches = set()
    builder.during_build = lambda: None
    builder.builds.clear()
    builder.caches_given.clear()


def export(folder, choice=TENSORRT, *, model=None, tokens=TOKENS, progress=lambda line: None):
    options = ExportOptions("fp16", VIEWS, tokens, 0, choice, "geolrm-export tiny --fp16")
    source = Source("random", "", trained=False)
    model = model or tiny_model(tiny_config())
    return write_bundle(
        model, folder, name="tiny", source=source, options=options, progress=progress
    )


@pytest.fixture(scope="module")
def first(builder, tmp_path_factory, tensorrt):
    """One export of the tiny model: its folder, its manifest, the builds and the lines."""
    builder.builds.clear()
    builder.caches_given.clear()
    folder, lines = tmp_path_factory.mktemp("engines") / "bundle", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_builder, "SECONDS_BETWEEN_LINES", 0.0)
        manifest = export(folder, progress=lines.append)
    return folder, manifest, list(builder.builds), list(builder.caches_given), lines


def test_networks_are_strongly_typed_and_float32_is_exact(first):
    _, _, builds, _, _ = first
    assert len(builds) == 4
    for build in builds:
        assert build.flags == 1 << 1
        assert build.config.cleared == ["TF32"]
        assert build.config.num_compute_capabilities == 0  # TensorRT builds for this GPU


def test_profiles_are_the_ranges_of_views_and_tokens(first):
    _, manifest, builds, _, _ = first
    pixels, width = sum(h * w for h, w in manifest.level_shapes), manifest.feature_dim
    profiles = [build.config.profiles[0].shapes for build in builds]
    assert all(len(build.config.profiles) == 1 for build in builds)
    encoder, _, proposal, reconstruction = profiles
    assert encoder == {
        "images": [(v, 3, 56, 56) for v in (1, 3, 21)],
        "c2w": [(v, 4, 4) for v in (1, 3, 21)],
        "intrinsics": [(v, 3, 3) for v in (1, 3, 21)],
    }
    features = [(v, pixels, width) for v in (1, 3, 21)]
    projection = [(v, 3, 4) for v in (1, 3, 21)]
    assert proposal == {"features": features, "projection": projection}
    assert reconstruction == {
        "features": features,
        "projection": projection,
        "anchors": [(n, 3) for n in (1, 64, 512)],
        "rope_index": [(n, 3) for n in (1, 64, 512)],
        "query_order": [(n,) for n in (1, 64, 512)],
    }


def test_parsed_nodes_name_the_plugins(first, builder):
    builder.builds.extend(first[2])
    for name, model in zip(STAGES, builder.models(), strict=True):
        nodes = [node for node in model.graph.node if node.domain == "geolrm"]
        assert len(nodes) == (0 if name.startswith("encoder") else 2)
        for node in nodes:
            fields = {a.name: a.i if a.type == a.INT else a.s for a in node.attribute}
            assert fields == {
                "aot": 1, "num_heads": 2, "num_points": 2, "plugin_namespace": b"geolrm",
                "plugin_version": b"1",
            }  # fmt: skip
        assert not model.functions  # nothing to fall back on: a missing plugin is an error
        assert all(not tensor.external_data for tensor in model.graph.initializer)


def test_plugins_are_in_the_registry_before_anything_is_parsed(first, builder):
    plugins = ["geolrm::DeformableCrossAttention", "geolrm::GridSample"]
    assert builder.plugin.registered == dict.fromkeys(plugins, False)
    assert builder.plugin.kernels == plugins


def test_progress_is_reported_of_the_outermost_phase(first):
    lines = first[4]
    assert "building proposal for sm_89" in lines
    of_proposal = [line for line in lines if line.startswith("building proposal for sm_89: ")]
    assert of_proposal == [f"building proposal for sm_89: {p} %" for p in (25, 50, 75, 100)]


def test_the_bundle_holds_engines_identities_and_the_timing_cache(first):
    folder, manifest, builds, _, _ = first
    artifact = manifest.gpu
    assert manifests.decode((folder / "manifest.json").read_bytes()).gpu == artifact
    assert (artifact.backend, artifact.precision, artifact.targets) == (
        "tensorrt",
        "fp16",
        ["sm_89"],
    )
    assert artifact.command == "geolrm-export tiny --fp16"
    files = [f"{stage}.sm_89.plan" for stage in STAGES]
    assert list(artifact.engines) == files
    for file, build in zip(files, builds, strict=True):
        assert (folder / file).read_bytes() == b"engine of " + build.model[-64:]
        assert manifest.files[file].bytes == (folder / file).stat().st_size
        identity = artifact.engines[file]
        assert identity.builder == "tensorrt 11.4.0.106"
        assert identity.kernels == registration.version()
        assert build.config.set == []
        assert (identity.precision, identity.views, identity.anchors) == ("fp16", VIEWS, TOKENS)
        assert identity.gpu == HERE.gpu
    assert len({identity.onnx_sha256 for identity in artifact.engines.values()}) == 4
    assert [step.files for step in artifact.stages["proposal"].steps] == [
        {"sm_89": "proposal.sm_89.plan"}
    ]
    assert (folder / "timing.cache").read_bytes() == b"timed;" * 4
    assert "timing.cache" in manifest.files


def test_the_timing_cache_grows_from_engine_to_engine_and_is_taken_again(first, builder, tmp_path):
    folder, _, _, given, _ = first
    assert given == [b"", b"timed;", b"timed;" * 2, b"timed;" * 3]
    again = copied(folder, tmp_path)
    export(again, tokens=Range(1, 64, 256))
    assert builder.caches_given[0] == b"timed;" * 4
    assert (again / "timing.cache").read_bytes() == b"timed;" * 8


def test_a_timing_cache_of_another_gpu_is_begun_anew(first, builder, tmp_path):
    builder.foreign_caches = {b"timed;" * 4}
    again = copied(first[0], tmp_path)
    export(again, tokens=Range(1, 64, 256))
    assert builder.caches_given[:2] == [b"timed;" * 4, b""]
    assert (again / "timing.cache").read_bytes() == b"timed;" * 4


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "bundle")


def test_a_second_export_takes_the_engines(first, builder, tmp_path):
    again = copied(first[0], tmp_path)
    manifest = export(again)
    assert builder.builds == []
    assert manifest.gpu == first[1].gpu
    for file in manifest.gpu.engines:
        assert (again / file).read_bytes() == (first[0] / file).read_bytes()
    assert (again / "timing.cache").read_bytes() == b"timed;" * 4


def test_only_what_changed_is_built_again(first, builder, tmp_path):
    again = copied(first[0], tmp_path)
    file = again / "proposal.sm_89.plan"
    file.write_bytes(file.read_bytes()[:-1] + b"?")  # damaged
    model = tiny_model(tiny_config())
    model.state_dict()[BIAS].add_(0.01)
    export(again, model=model)
    assert len(builder.builds) == 2
    assert file.read_bytes() == (first[0] / file.name).read_bytes()


@pytest.mark.parametrize("change", ["builder", "gpu", "kernels", "precision"])
def test_what_an_engine_depends_on_builds_all_again(first, builder, tmp_path, monkeypatch, change):
    again, choice = copied(first[0], tmp_path), TENSORRT
    if change == "builder":
        monkeypatch.setattr(BuilderDouble, "__version__", "11.5.0.1")
    elif change == "gpu":
        other = Target("sm_89", GpuIdentity("sm_89", 128, 16_000_000_000), present=True)
        choice = Choice("tensorrt", "fp16", (other,), "")
    elif change == "kernels":
        monkeypatch.setattr(registration, "version", lambda: "another")
    else:
        choice = Choice("tensorrt", "bf16", (HERE,), "")
    export(again, choice)
    assert len(builder.builds) == 4


def test_a_graph_that_is_not_read_is_one_sentence_and_leaves_nothing(builder, tmp_path):
    builder.parse_error = ("GridSample", "node_7", "no plugin\n  of that name")
    sentence = (
        "^tensorrt 11.4.0.106 cannot read encoder_proposal: GridSample node_7: no plugin of that "
        "name$"
    )
    with pytest.raises(GeoLRMError, match=sentence):
        export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_gives_the_builders_reason(builder, tmp_path):
    builder.build_error = "out of\nmemory"
    sentence = "^tensorrt 11.4.0.106 cannot build encoder_proposal for sm_89: out of memory$"
    with pytest.raises(GeoLRMError, match=sentence):
        export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_attention_that_is_refused_is_built_of_plain_nodes_and_told(builder, tmp_path):
    builder.refused_node = "Attention"
    lines = []
    manifest = export(tmp_path / "bundle", progress=lines.append)
    assert sorted(manifest.gpu.engines) == [f"{stage}.sm_89.plan" for stage in STAGES]
    kinds = [{node.op_type for node in model.graph.node} for model in builder.models()]
    assert ["Attention" in each for each in kinds] == [True, False] * 4
    assert all("Softmax" in each for each in kinds[1::2])
    for stage in STAGES:
        line = (
            f"tensorrt 11.4.0.106 cannot build {stage} for sm_89: no kernel for Attention; "
            "building it once more with attention of matrix products and a softmax, which takes "
            "memory for every pair of tokens"
        )
        assert lines.count(line) == 1


def test_ctrl_c_ends_a_build_and_keeps_the_older_bundle(first, builder, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_builder, "SECONDS_BETWEEN_LINES", 0.0)

    def interrupt(line):
        if "%" in line:
            raise KeyboardInterrupt

    again = copied(first[0], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        export(again, tokens=Range(1, 64, 256), progress=interrupt)
    assert len(builder.builds) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    for file in first[0].iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_rtx_builds_every_segment_for_every_gpu_without_plugins_or_timings(builder, tmp_path):
    lines = []
    manifest = export(tmp_path / "bundle", RTX, progress=lines.append)
    capabilities = [build.config.capabilities for build in builder.builds]
    assert capabilities == [{0: "8.6"}] * 8 + [{0: "12.0"}] * 8
    assert all(build.config.num_compute_capabilities == 1 for build in builder.builds)
    assert builder.caches_given == []
    assert not (tmp_path / "bundle" / "timing.cache").exists()
    assert manifest.gpu.targets == ["sm_86", "sm_120"]
    identities = manifest.gpu.engines
    assert len(identities) == 16
    assert {i.builder for i in identities.values()} == {"tensorrt-rtx 11.4.0.106"}
    assert {i.kernels for i in identities.values()} == {"memory from outside"}
    assert all(build.config.set == ["REQUIRE_USER_ALLOCATION"] for build in builder.builds)
    for model in builder.models():
        assert all(node.domain == "" for node in model.graph.node)
    assert "building proposal.segment01 for sm_120" in lines
