"""The committed bundle is what the sources build to."""

import hashlib
import re
from pathlib import Path

import pytest

import geolrm.viewer

BUILT = Path(geolrm.viewer.__file__).parent
SOURCES = Path(__file__).parents[2] / "viewer"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def banner_and_code():
    text = (BUILT / "viewer.js").read_text(encoding="utf-8")
    banner, code = text.split("*/\n", 1)
    return banner, code


def test_the_bundle_was_built_from_these_sources():
    banner, _ = banner_and_code()
    names = ["build.js", "package-lock.json", "package.json"]
    names += [f"src/{path.name}" for path in (SOURCES / "src").iterdir()]
    lines = [f"{sha256((SOURCES / name).read_bytes())}  {name}\n" for name in sorted(names)]
    recorded = re.search(r"^sources sha256 (\w{64})$", banner, re.M)
    assert recorded
    assert recorded[1] == sha256("".join(lines).encode()), (
        "viewer/ changed; run in it: npm ci && npm run build"
    )


def test_the_bundle_was_not_edited():
    banner, code = banner_and_code()
    recorded = re.search(r"^code sha256 (\w{64})$", banner, re.M)
    assert recorded and recorded[1] == sha256(code.removesuffix("\n").encode())


@pytest.mark.parametrize("name", ["page.html", "labels.json"])
def test_the_page_and_its_texts_are_those_of_the_sources(name):
    assert (BUILT / name).read_bytes() == (SOURCES / "src" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "licence"),
    [("three", "MIT"), ("@sparkjsdev/spark", "MIT"), ("fflate", "MIT"), ("mp4box", "BSD-3-Clause")],
)
def test_licences_come_along(name, licence):
    banner, _ = banner_and_code()
    text = (BUILT / "THIRD_PARTY_LICENSES.txt").read_text(encoding="utf-8")
    for notice in (banner, text):
        assert re.search(rf"^{re.escape(name)} [\d.]+ \({licence}\)$", notice, re.M)
    assert text.count("Permission is hereby granted, free of charge") == 3
    assert text.count("Redistributions in binary form must reproduce") == 1
    assert text in banner + "\n"


def test_the_code_can_stand_in_a_page():
    _, code = banner_and_code()
    assert code.isascii()
    assert "</script" not in code.lower()
    assert "<!--" not in code
