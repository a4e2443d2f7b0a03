"""Say what is wrong with the contents of a wheel: its size, its files, its licences, its paths.

python tests/wheel/check_contents.py WHEEL
"""

import re
import sys
import zipfile
from pathlib import Path

LARGEST = 20_000_000  # bytes
NEEDED = (
    r"geolrm/_C[\w.-]*\.(so|pyd)", r"geolrm/__init__\.py", r"geolrm/py\.typed",
    r"geolrm/models/mini/(manifest\.json|weights\.safetensors|encoder\.onnx)",
    r"geolrm/viewer/(viewer\.js|page\.html|labels\.json|THIRD_PARTY_LICENSES\.txt)",
    r"geolrm/csrc/rasterizer/blend\.cu",  # which NVRTC compiles where there is a GPU
    r"geolrm/examples/captures/README\.md", r"geolrm/examples/captures/shoe/transforms\.json",
    r"geolrm-[\w.]+\.dist-info/licenses/LICENSE",
    r"geolrm-[\w.]+\.dist-info/licenses/csrc/licenses/(pybind11|libcxx)\.txt",
    r"geolrm-[\w.]+\.dist-info/licenses/docs/model-card-objects\.md",  # whom mini learned from
)  # fmt: skip
UNWANTED = r"(^|/)(tests?|\.git|\.ci|build|__pycache__|node_modules)(/|$)|\.(pyc|o|a|stamp)$"
# Absolute paths of a machine that built it.
BUILD_PATHS = rb"/(?:home|root|Users|work|tmp|private|github)/[\w.-]+/[\w./-]+|[A-Z]:\\\w+\\\w+"


def faults(wheel: Path) -> list[str]:
    """Return a sentence for each fault."""
    found = []
    size = wheel.stat().st_size
    if size > LARGEST:
        found.append(f"it has {size:,} bytes, at most {LARGEST:,} are wanted")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for pattern in NEEDED:
            if not any(re.fullmatch(pattern, name) for name in names):
                found.append(f"nothing in it is called {pattern}")
        found += [f"{name} does not belong in it" for name in names if re.search(UNWANTED, name)]
        for name in names:
            if re.fullmatch(NEEDED[0], name) or name.endswith("manifest.json"):
                for path in sorted(set(re.findall(BUILD_PATHS, archive.read(name))))[:5]:
                    found.append(f"{name} holds the path {path.decode(errors='replace')}")
    return found


if __name__ == "__main__":
    said = faults(Path(sys.argv[1]))
    print("\n".join(said) or f"{sys.argv[1]}: contents as they should be")
    sys.exit(bool(said))
