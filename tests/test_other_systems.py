"""The commands on a Python that is as on Windows, or macOS; and no text of unstated encoding."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "engine", "examples", "export", "fleet", "plugins", "python", "training")
SYSTEMS = ("windows", "macos")
NAME = "обувь"  # in no code page of western Europe


def run(system, where, code, *arguments, **variables):
    """Run Python as on another system, with a code page where it writes to a pipe."""
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", code, *map(str, arguments)],
        cwd=where, capture_output=True,
        env=os.environ | {
            "GEOLRM_DOUBLE": system, "PYTHONPATH": str(ROOT / "tests" / "doubles" / "system"),
            "PYTHONIOENCODING": "cp1252", **variables,
        },
    )  # fmt: skip


def geolrm(system, where, *arguments):
    """Run a command; return what it printed, decoded as the code page."""
    done = run(system, where, "from geolrm.commands import main; main()", *arguments)
    assert done.returncode == 0, done.stderr.decode("cp1252", "replace")
    return done.stdout.decode("cp1252")


@pytest.fixture(params=SYSTEMS)
def system(request):
    return request.param


def test_the_double_is_as_the_system(system, tmp_path):
    code = """
import os, sys
from pathlib import Path
from geolrm.engine.system import cores, exit_codes, file_lock, temporary
assert not hasattr(cores.os, "sched_getaffinity") and hasattr(os, "sched_getaffinity")
assert not Path("/proc/self/status").exists()
windows = os.environ["GEOLRM_DOUBLE"] == "windows"
assert temporary.os.name == ("nt" if windows else "posix") and os.name == "posix"
assert len(exit_codes.ENDING) == (1 if windows else 2)
with open("held", "wb") as held:
    assert temporary._lock(held.fileno()) is (None if windows else True)
    try:
        os.replace("held", "other")
    except PermissionError:
        assert windows
    else:
        assert not windows
try:
    exec("Path('text').write_text('')", {"Path": Path, "__name__": "geolrm.made"})
except EncodingWarning:
    print("refused")
"""
    done = run(system, tmp_path, code)
    assert done.stdout.split() == [b"refused"], done.stderr.decode()


def test_files_and_folders_appear_whole(system, tmp_path):
    code = """
import pathlib
from geolrm.engine.system.atomic import atomic_file, atomic_folder, check_writable
from geolrm.engine.system.file_lock import locked
for content in (b"one", b"two"):
    check_writable("a.bin")
    with atomic_file("a.bin") as file:
        file.write(content)
    with atomic_folder("folder") as folder:
        (folder / content.decode()).write_bytes(content)
try:
    with atomic_file("a.bin") as file:
        file.write(b"three")
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
with locked(pathlib.Path("lock"), "another is here", keep=False):
    pass
print(pathlib.Path("a.bin").read_bytes(), *sorted(map(str, pathlib.Path().rglob("*"))))
"""
    done = run(system, tmp_path, code)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["b'two'", "a.bin", "folder", "folder/two"]


def test_the_commands(system, tmp_path):
    shown = NAME.encode("cp1252", "backslashreplace").decode()
    capture = tmp_path / NAME
    shutil.copytree(ROOT / "examples" / "captures" / "shoe", capture)
    few = ("--views", "2", "--max-tokens", "64", "--refine", "2")
    splats, page = tmp_path / f"{NAME}.ply", tmp_path / f"{NAME}.html"
    assert shown in geolrm(system, tmp_path, "run", capture, "-o", splats, "--view", *few)
    page.unlink()
    assert shown in geolrm(system, tmp_path, "view", splats, "-o", page)
    assert NAME in page.read_text(encoding="utf-8")
    geolrm(system, tmp_path, "check", capture, "-o", "check.png")
    assert shown in geolrm(system, tmp_path, "convert", splats, tmp_path / f"{NAME}.spz")
    views = ("--orbit", "2", "--size", "32")
    geolrm(system, tmp_path, "render", splats, "-o", tmp_path / "views", *views)
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [
        ".html", ".ply", ".png", ".spz",
    ]  # fmt: skip


def test_the_demo(system, tmp_path):
    assert "shoe.ply" in geolrm(system, tmp_path, "demo", "-o", "out")


def test_a_mesh_and_its_texture(system, tmp_path):
    for package in ("skimage", "xatlas", "fast_simplification"):
        pytest.importorskip(package)
    shoe = ROOT / "examples" / "captures" / "shoe"
    geolrm(system, tmp_path, "run", shoe, "-o", "shoe.ply", "--views", "4", "--refine", "2")
    geolrm(system, tmp_path, "mesh", "shoe.ply", "-o", "shoe.obj", "--size", "48")
    textured = ("--capture", shoe, "--texture-size", "256", "--faces", "500", "--size", "48")
    geolrm(system, tmp_path, "mesh", "shoe.ply", "-o", "textured.obj", *textured)
    assert (tmp_path / "textured.mtl").is_file()


def test_a_batch_goes_on(system, tmp_path):
    pytest.importorskip("fsspec")
    few = ("--views", "2", "--max-tokens", "64", "--refine", "2", "--no-view")
    captures = ROOT / "examples" / "captures"
    for _ in range(2):
        geolrm(system, tmp_path, "batch", captures / "shoe", "-o", "out", "--local", *few)
    assert [path.name for path in (tmp_path / "out" / "captures").glob("*.ply")] == ["shoe.ply"]


def test_an_export(system, tmp_path):
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package)
    code = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from samples.tiny_models import one_layer, tiny_config, tiny_model, write_tiny
from geolrm.engine.bundle.bundle import Bundle
for _ in range(2):  # the second takes the place of the first
    write_tiny(tiny_model(one_layer(tiny_config())), Path("tiny"))
print(type(Bundle.open("tiny")).__name__)
"""
    done = run(system, tmp_path, code, ROOT / "tests")
    assert (done.returncode, done.stdout.split()) == (0, [b"Bundle"]), done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


SOURCES = [path for each in PACKAGES for path in sorted((ROOT / each).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_of_files_has_its_encoding_stated(path):
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and lacks_encoding(node)
    ]
    assert not found, "\n".join(found)


def lacks_encoding(call):
    """Whether a call opens a file as text and leaves its encoding to the system."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(word.arg in ("encoding", None) for word in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return True
    modes = [word.value for word in call.keywords if word.arg == "mode"]
    modes += call.args[:2]
    known = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    library = ast.unparse(call.func).split(".")[0] in ("av", "packed")  # whose modes are like these
    return name in ("open", "fdopen") and not library and "r" in known
