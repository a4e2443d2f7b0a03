import hashlib
import json

import msgspec
import pytest
from msgspec.structs import replace
from samples.gpu_artifacts import make_artifact

from geolrm import InputError
from geolrm.engine.bundle.bundle import bundled_path
from geolrm.engine.bundle.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Range,
    decode,
    digest,
    encode,
    schema_version,
)


@pytest.fixture(scope="module")
def raw():
    return (bundled_path("mini") / MANIFEST_NAME).read_bytes()


def test_what_is_encoded_is_decoded_with_its_checksum(raw):
    manifest = replace(decode(raw), refine_steps=17, checksum="of another time")
    encoded = encode(manifest)
    again = decode(encoded)
    assert encoded.startswith(b"{\n ") and encoded.endswith(b"}\n")
    assert again.checksum == digest(manifest)
    assert replace(again, checksum="of another time") == manifest
    assert encode(again) == encoded


def test_the_checksum_is_over_everything_else(raw):
    content = json.loads(raw)
    compact = json.dumps(content | {"checksum": ""}, separators=(",", ":"), ensure_ascii=False)
    assert content["checksum"] == hashlib.sha256(compact.encode()).hexdigest()
    manifest = decode(raw)
    assert digest(manifest) == manifest.checksum
    assert digest(replace(manifest, refine_steps=manifest.refine_steps + 1)) != manifest.checksum


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"precision": "fp8"}, r"Invalid enum value 'fp8' - at `\$.precision`"),
        ({"views": {"min": 1, "opt": 2}}, r"missing required field `max` - at `\$.views`"),
        ({"image_size": 1.5}, r"Expected `int`, got `float` - at `\$.image_size`"),
    ],
)
def test_reading_is_strict(raw, change, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        decode(json.dumps(json.loads(raw) | change).encode())


def test_the_schema_is_known_before_the_rest_is(raw):
    assert schema_version(raw) == SCHEMA_VERSION
    assert schema_version(b'{"schema_version": 99, "surprise": []}') == 99


def test_artifacts_are_found_by_their_backend(raw):
    manifest = decode(raw)
    assert manifest.gpu is None and manifest.artifact("cuda") is None
    cpu, gpu = manifest.artifact("onnxruntime"), make_artifact("tensorrt-rtx")
    both = replace(manifest, artifacts=[cpu, gpu])
    assert both.gpu is gpu and both.artifact("tensorrt-rtx") is gpu
    assert both.artifact("onnxruntime") is cpu


def test_an_artifact_tells_what_its_stages_need(raw):
    artifact = decode(raw).artifact("onnxruntime")
    names = [step.name for step in artifact.segments]
    assert "proposal.segment00" in names and len(names) == len(set(names))
    assert {step.operator for step in artifact.segments} == {"segment"}
    assert artifact.weights == {
        name for stage in artifact.stages.values() for step in stage.steps for name in step.weights
    }
    assert make_artifact().weights == set()


@pytest.mark.parametrize("numbers", [(0, 1, 2), (2, 1, 3), (1, 3, 2), (-1, -1, -1)])
def test_ranges_that_are_none(numbers):
    shown = ":".join(map(str, numbers))
    with pytest.raises(InputError) as caught:
        Range(*numbers).check("--views")
    assert str(caught.value) == f"--views is {shown}; it must satisfy 1 <= MIN <= OPT <= MAX"


def test_ranges_may_be_one_number():
    Range(1, 1, 1).check("--views")
    Range(2, 5, 9).check("--views")
