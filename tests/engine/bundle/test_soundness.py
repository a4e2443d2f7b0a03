"""What a manifest's parts say of each other; the hostile ones also go through attacks/."""

import json

import pytest
from msgspec.structs import replace
from samples.hostile_manifests import OUT_OF_RANGE, UNSOUND, changed, good

from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.manifest import Range, decode
from geolrm.engine.bundle.soundness import check_manifest


def decoded(content):
    return decode(json.dumps(content).encode())


def test_what_is_exported_is_sound(bundles):
    check_manifest(decoded(good()))
    for folder in bundles.values():
        check_manifest(Bundle.open(folder).manifest)


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_range_is_checked_when_it_is_decoded(name):
    with pytest.raises(ValueError, match=r"^(Expected|Invalid|Object|JSON is malformed)"):
        decoded(changed(OUT_OF_RANGE[name]))


@pytest.mark.parametrize("name", UNSOUND)
def test_parts_that_do_not_fit_are_refused(name):
    change, said = UNSOUND[name]
    manifest = decoded(changed(change))
    with pytest.raises(ValueError) as caught:
        check_manifest(manifest)
    assert str(caught.value) == said


def test_the_largest_that_are_taken():
    manifest = decoded(good())
    check_manifest(replace(manifest, anchors=Range(1, 6144, 65536), views=Range(1, 6, 64)))
    check_manifest(replace(manifest, padded_anchors=manifest.anchors.max))
