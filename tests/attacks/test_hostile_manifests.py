"""Manifests made to do harm: each ends in one sentence, at once, and without much memory."""

import copy
import json
import math
import os
import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples.hostile_manifests import (
    ATTENTION,
    OUT_OF_RANGE,
    PROJECTION,
    SEGMENT,
    UNSOUND,
    at,
    both,
    changed,
    good,
    signed,
)

from geolrm import BundleError, Engine, GeoLRMError
from geolrm.engine.bundle.bundle import Bundle, bundled_path

SECONDS, MEGABYTES = 5.0, 100  # a file of 16 MB is parsed in one; the rest is this machine's load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled model, whose manifest each test replaces."""
    return Path(shutil.copytree(bundled_path("mini"), tmp_path_factory.mktemp("hostile") / "mini"))


def refusal(folder, content):
    """Open a bundle with a manifest; return the one sentence, or None where it opens."""
    raw = content if isinstance(content, bytes) else signed(content)
    (folder / "manifest.json").write_bytes(raw)
    tracemalloc.start()
    start = time.process_time()
    try:
        Bundle.open(folder)
        said = None
    except BundleError as error:
        said = str(error)
    finally:
        took, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took < SECONDS and peak < MEGABYTES * 1e6, (took, peak)
    if said is not None:
        assert said.isprintable() and len(said) < 1000, said
    return said


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_values_out_of_range(folder, name):
    said = refusal(folder, changed(OUT_OF_RANGE[name]))
    assert said is not None and said.startswith(f"{folder / 'manifest.json'} is corrupt: ")


@pytest.mark.parametrize("name", UNSOUND)
def test_parts_that_do_not_fit(folder, name):
    change, reason = UNSOUND[name]
    assert refusal(folder, changed(change)) == (
        f"{folder / 'manifest.json'} is corrupt: {reason}; export it again with geolrm-export and "
        "--force"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"[" * 10**6,
        b'{"schema_version":' * 10**5,
        b'{"schema_version": 2, "schema_version": 2}',
        b'{"schema_version": 1e400}',
        b'{"schema_version": ' + b"9" * 10**6 + b"}",
        b'{"schema_version": 2, "model": "' + b"\\ud800" * 1000 + b'"}',
        b"\xff\xfe" + '{"schema_version": 2}'.encode("utf-16-le"),
        b" " * (17 << 20),
        b'{"a": {"a": ' * 5 * 10**5,
    ],
    ids=range(11),
)
def test_bytes_that_are_no_manifest(folder, content):
    assert "manifest.json" in refusal(folder, content)


def test_the_longest_that_is_read_at_all(folder):
    """16 MB of tensors that nobody asked for."""
    content = good()
    entry = {"name": "t", "dtype": "float32", "shape": [1, 1, 1, 1, 1, 1, 1, 1]}
    stage = content["artifacts"][0]["stages"]["proposal"]
    stage["tensors"] = [entry] * 250_000
    raw = json.dumps(content, separators=(",", ":")).encode()
    assert 13e6 < len(raw) < 16 << 20
    assert "Expected `array` of length <= 4096" in refusal(folder, raw)


@pytest.mark.parametrize(
    ("name", "place"), [("manifest.json", "etc"), ("weights.safetensors", "here")]
)
def test_links_out_of_the_folder(tmp_path, name, place):
    folder = Path(shutil.copytree(bundled_path("mini"), tmp_path / "mini"))
    target = tmp_path / place
    (folder / name).rename(target)
    (folder / name).symlink_to(target)
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    assert str(caught.value) == (
        f"{name} of the bundle {str(folder)!r} is a link out of the folder, to {str(target)!r}; "
        "copy the bundle with the files themselves: cp -rL FROM TO"
    )


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "proposal.onnx"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    folder = Path(shutil.copytree(bundled_path("mini"), tmp_path / "mini"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleError, match=r"holds no manifest\.json|is missing"):
        Bundle.open(folder)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_an_older_manifest_does_not_wait_either(tmp_path):
    """Its refusal looks into the weights for a checkpoint."""
    os.mkfifo(tmp_path / "weights.safetensors")
    numbers = {"min": 1, "opt": 1, "max": 1}
    source = {"checkpoint": "a.ckpt", "sha256": "", "trained": False}
    content = {"schema_version": 1, "model": "old", "precision": "fp32", "views": numbers}
    raw = json.dumps(content | {"tokens": numbers, "source": source})
    (tmp_path / "manifest.json").write_text(raw)
    with pytest.raises(BundleError, match=r"Export it again: geolrm-export a\.ckpt --name old "):
        Bundle.open(tmp_path)


def run(folder):
    """Open an engine and run it on nothing much."""
    engine = Engine(folder, threads=2)
    images = np.full((1, 64, 64, 3), 255, np.uint8)
    images[0, 20:44, 20:44] = 90
    pose = np.eye(4)
    pose[2, 3] = 2
    return engine.run(images, pose[None], fov=50, max_tokens=engine.manifest.anchors.min)


SWAPPED = {  # sound as far as the manifest goes; the files do not fit
    "another stage's graph": at(*SEGMENT, "files", "cpu")("encoder.segment00.onnx"),
    "weights as a graph": at(*SEGMENT, "files", "cpu")("weights.safetensors"),
    "an output of another name": both(
        at(*SEGMENT, "writes", 0)("renamed"),
        lambda c: _rename(c, "cat", "renamed"),
    ),
    "a weight that is not there": at(*PROJECTION, "weights", 0)("nothing"),
    "a weight of another size": at(*PROJECTION, "weights", 0)("proposal.select_9"),
    "weights in another order": lambda c: c["artifacts"][0]["stages"]["proposal"]["steps"][3][
        "weights"
    ].reverse(),
    "other heads": at(*ATTENTION, "num_heads")(3),
}


def _rename(content, old, new):
    stage = content["artifacts"][0]["stages"]["proposal"]
    for tensor in stage["tensors"]:
        if tensor["name"] == old:
            tensor["name"] = new
    for step in stage["steps"]:
        step["reads"] = [new if name == old else name for name in step["reads"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SWAPPED)
def test_files_that_do_not_fit_their_plan(folder, name):
    (folder / "manifest.json").write_bytes(signed(changed(SWAPPED[name])))
    if name == "other heads":  # fits; it is another model
        assert len(run(folder).anchors) <= 1
        return
    with pytest.raises(BundleError) as caught:
        run(folder)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


@pytest.mark.filterwarnings("ignore")
def test_padding_to_more_anchors_than_there_is_memory_for(folder):
    many = 1 << 24
    content = changed(
        at("anchors")({"min": many, "opt": many, "max": many}), at("padded_anchors")(many)
    )
    assert refusal(folder, content) is None
    with pytest.raises(GeoLRMError) as caught:
        run(folder)
    assert str(caught.value).startswith("out of memory: a stage needs ")


# Every field of a good manifest, to anything

HOSTILE = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2, 2**31, -(2**31), 2**63, 2**64, 10**9, 10**30, 0.5, -0.0,
         1e308, -1e308, math.nan, math.inf, "", "x", "x" * 100_000, "views", "anchors", "cpu",
         "9*9*anchors", "../../etc/passwd", "/dev/zero", "weights.safetensors", "\x1b[2J", "\n",
         "\u202e", "\ud800", "nothing", [], {}, [[]], [0] * 5000, {"": {}}]
    ),
    st.integers(-10, 5000),
    st.floats(),
    st.text(max_size=20),
)  # fmt: skip


def places(content, path=()):
    """Find every place of a manifest."""
    if path:
        yield path
    if isinstance(content, dict | list):
        inner = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in inner:
            yield from places(value, (*path, key))


PLACES = list(places(good()))


@st.composite
def mutated(draw):
    """A good manifest with one to three places changed, removed, repeated or exchanged."""
    content = good()
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        parent = content
        try:
            for key in path[:-1]:
                parent = parent[key]
            old = parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        action = draw(st.sampled_from(["change", "change", "remove", "repeat", "other", "rename"]))
        if action == "remove":
            del parent[path[-1]]
        elif action == "repeat" and isinstance(parent, list):
            parent.insert(path[-1], copy.deepcopy(old))
        elif action == "rename" and isinstance(parent, dict):
            parent[draw(st.text(max_size=9))] = parent.pop(path[-1])
        elif action == "other":  # what stands elsewhere, of a kind that may well be taken
            parent[path[-1]] = copy.deepcopy(_stands_at(draw(st.sampled_from(PLACES))))
        else:
            parent[path[-1]] = draw(HOSTILE)
    return content


def _stands_at(path):
    found = good()
    for key in path:
        found = found[key]
    return found


@pytest.mark.filterwarnings("ignore")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=10 * settings.default.max_examples,
)
@given(content=mutated())
def test_any_change_is_refused_in_one_sentence_or_runs(folder, content):
    if refusal(folder, content) is not None:
        return
    if good()["artifacts"] == content["artifacts"] and good()["files"] == content["files"]:
        return  # what runs is what it was
    try:
        run(folder)
    except GeoLRMError as error:
        assert str(error).isprintable() and len(str(error)) < 1000
