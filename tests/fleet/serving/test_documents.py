"""/openapi.json is true: schemathesis sends what it allows, and what it does not."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from samples.served_captures import box_zip, zipped
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

ZIPS = [box_zip(), box_zip(2), zipped({"a.txt": b"x"}), b"", b"PK\x03\x04"]
schemathesis.openapi.media_type("application/zip", st.sampled_from(ZIPS) | st.binary(max_size=99))
OPERATIONS = [("/v1/reconstructions", "post"), ("/v1/results/{name}", "get"), ("/healthz", "get"),
              ("/readyz", "get"), ("/metrics", "get")]  # fmt: skip


@pytest.fixture(scope="module")
def document(address):
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_document_is_true(document, path, method, mode):
    operation = document[path][method.upper()]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15 if method == "post" else 3, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case):
        # No schema says what a capture is, or which options go together: those are refused, too.
        case.call_and_validate(excluded_checks=[positive_data_acceptance], timeout=60)

    try:
        check()
    except Unsatisfiable:
        assert method == "get" and mode is GenerationMode.NEGATIVE  # nothing there can be wrong


def test_the_document_names_what_there_is(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/reconstructions", "/v1/results/{name}", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    post = document["paths"]["/v1/reconstructions"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/zip", "multipart/form-data"}
    assert set(post["responses"]["200"]["content"]) == {
        "application/x-ply", "application/x-spz", "model/gltf-binary", "text/html",
        "text/event-stream",
    }  # fmt: skip
    names = {parameter["name"] for parameter in post["parameters"]}
    assert {"seed", "max_tokens", "selection", "quality", "refine_steps", "refine_poses", "shading",
            "views", "format"} <= names  # fmt: skip
