import msgspec
import pytest

from geolrm import BundleError
from geolrm.engine.backends.engine_identity import check_engine, choose_target
from geolrm.engine.bundle.manifest import Artifact, EngineIdentity, GpuIdentity, Range
from geolrm.engine.bundle.plan import SegmentStep, Stage
from geolrm.engine.system.present_gpu import PresentGpu

HERE = PresentGpu("RTX 4070", "sm_89", 46, 12_000_000_000)
BUILDER = "tensorrt 11.4.0.106"
FILE = "proposal.sm_89.plan"
IDENTITY = EngineIdentity(
    "0" * 64, BUILDER, "k", "fp16", Range(1, 6, 21), Range(1, 64, 512),
    GpuIdentity("sm_89", 46, 12_000_000_000),
)  # fmt: skip
STEP = SegmentStep(name="proposal", files={"sm_89": FILE}, reads=[], writes=[])


def artifact(targets=("sm_89",), identity=IDENTITY):
    stages = {"proposal": Stage("proposal", [], [STEP])}
    command = "geolrm-export mini --fp16"
    return Artifact("tensorrt", "fp16", list(targets), stages, {FILE: identity}, command)


def test_an_engine_of_this_gpu_passes():
    check_engine(FILE, artifact(), HERE, BUILDER)


def test_an_engine_for_every_gpu_of_a_kind_passes():
    loose = msgspec.structs.replace(IDENTITY, gpu=GpuIdentity("sm_89"))
    check_engine(FILE, artifact(identity=loose), HERE, BUILDER)


@pytest.mark.parametrize(
    ("gpu", "builder", "difference"),
    [
        (PresentGpu("", "sm_120", 46, 12_000_000_000), BUILDER, "for sm_89; this GPU is sm_120"),
        (
            PresentGpu("", "sm_89", 128, 12_000_000_000),
            BUILDER,
            "for a GPU of 46 multiprocessors; this one has 128",
        ),
        (
            PresentGpu("", "sm_89", 46, 24_000_000_000),
            BUILDER,
            "for a GPU with 12.0 GB; this one has 24.0 GB",
        ),
        (HERE, "tensorrt 11.5.0.1", f"by {BUILDER}; installed is tensorrt 11.5.0.1"),
    ],
)
def test_a_mismatch_names_the_field_and_the_command(gpu, builder, difference):
    with pytest.raises(BundleError) as error:
        check_engine(FILE, artifact(), gpu, builder)
    rebuild = "Rebuild it: geolrm-export mini --fp16"
    assert str(error.value) == f"{FILE} was built {difference}. {rebuild}"


def test_an_engine_without_an_identity_is_refused():
    with pytest.raises(BundleError, match=r"^other.plan has no identity in the manifest. Rebuild"):
        check_engine("other.plan", artifact(), HERE, BUILDER)


def test_the_target_is_this_gpu_or_any():
    assert choose_target(artifact(("sm_86", "sm_89")), HERE) == "sm_89"
    assert choose_target(artifact(("any",)), HERE) == "any"
    with pytest.raises(BundleError) as error:
        choose_target(artifact(("sm_86", "sm_120")), HERE)
    assert str(error.value) == (
        f"{FILE} was built for sm_86 and sm_120; this GPU is sm_89. Rebuild it: "
        "geolrm-export mini --fp16"
    )
