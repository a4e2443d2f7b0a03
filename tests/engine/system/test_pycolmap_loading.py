"""pycolmap hangs Pillow where it comes first: who imports it, and in which order."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_images_can_be_saved_after_it_was_loaded():
    done = run(
        "import io\n"
        "from geolrm.engine.system.pycolmap_loading import load_pycolmap\n"
        "assert load_pycolmap(3).__name__ == 'pycolmap'\n"
        "from PIL import Image\n"
        "Image.new('RGB', (9, 9)).save(io.BytesIO(), 'PNG'); print('saved')\n"
    )
    assert done.stdout == "saved\n", done.stderr


def test_nothing_else_imports_it():
    pattern = re.compile(r"^\s*(import|from) pycolmap\b", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for folder in ("engine", "python", "bench", "export", "training", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["engine/system/pycolmap_loading.py"]


def test_of_the_room_of_photographs_only_the_child_process_reaches_it():
    """The program imports the room whole, and its commands; no step of that loads pycolmap."""
    done = run(
        "import importlib, pkgutil, sys\n"
        "import geolrm.engine.photographs as room\n"
        "jobs = {'mapping_job', 'matching', 'model_building'}\n"
        "for each in pkgutil.iter_modules(room.__path__):\n"
        "    if each.name not in jobs: importlib.import_module(f'{room.__name__}.{each.name}')\n"
        "import geolrm.commands.capture\n"
        "loaded = {n.rsplit('.', 1)[1] for n in sys.modules if n.startswith(room.__name__ + '.')}\n"
        "print(sorted(loaded & jobs), 'pycolmap' in sys.modules, len(loaded) > 10)\n"
    )
    assert done.stdout == "[] False True\n", done.stderr
