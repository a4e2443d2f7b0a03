"""Commands killed before or after each call that writes: the old result or the new, and no rest.

As in test_crash_points, a child ends at each point as by SIGKILL; here it runs a whole command.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from samples.capture_files import box_cameras, box_photos, write_transforms
from samples.gaussians import random_gaussians

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes that fork")

DRIVER = """
import json, os, sys
from pathlib import Path
from harness.processes import call_here
import geolrm.commands.convert, geolrm.commands.run, geolrm.commands.view
import geolrm.engine.captures, geolrm.engine.engine
from geolrm.engine.system import atomic

target, olds, news = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4])
calls = 0

def crash_at(point, module, name):
    real = getattr(module, name)
    def call(*arguments, **options):
        global calls
        for moment in (1, 2):
            calls += 1
            if calls == point:
                os._exit(9)
            if moment == 1:
                result = real(*arguments, **options)
        return result
    setattr(module, name, call)

def run(command, point=0):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if point:
        for module, name in ((os, "replace"), (os, "fsync"), (os, "chmod"), (os, "unlink"),
                             (os, "mkdir"), (os, "open"), (atomic, "exchange")):
            crash_at(point, module, name)
    code = 1
    try:
        code = call_here(*command).returncode
    finally:
        os._exit(code)

def content():
    return target.read_bytes() if target.exists() else None

assert run(news) == 0
new = content()
found, point = [], 0
while True:
    point += 1
    assert run(olds) == 0
    old = content()
    assert old != new
    code = run(news, point)
    after = content()
    assert run(news) == 0
    found.append([code, after == old, after == new, content() == new, os.listdir(target.parent)])
    if code == 0:
        break
print(json.dumps(found))
"""


def killed(tmp_path, target, old, new):
    """Return what was found after each point, of which at least those of one file are many."""
    target.parent.mkdir()
    command = [sys.executable, "-c", DRIVER, target]
    texts = [json.dumps([*map(str, each)]) for each in (old, new)]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *texts], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 12
    assert {code for code, *_ in found[:-1]} == {9} and found[-1][0] == 0
    states = []
    for point, (_, was_old, was_new, is_new, beside) in enumerate(found, 1):
        assert was_old or was_new, point
        assert is_new and beside == [target.name], point
        states.append(was_new)
    assert states == sorted(states) and set(states) == {False, True}


@pytest.fixture
def splats(tmp_path):
    whole = random_gaussians()
    whole.save(tmp_path / "0.ply")
    replace(whole, colors=whole.colors[::-1]).save(tmp_path / "1.ply")
    return [tmp_path / "0.ply", tmp_path / "1.ply"]


MANY = [pytest.param(name, marks=pytest.mark.long) for name in ("a.sog", "a.usdz")]


@pytest.mark.parametrize("name", ["a.spz", *MANY])
def test_convert(tmp_path, splats, name):
    target = tmp_path / "out" / name
    killed(tmp_path, target, *(["geolrm", "convert", each, target] for each in splats))


@pytest.mark.long
def test_view(tmp_path, splats):
    target = tmp_path / "out" / "page.html"
    killed(tmp_path, target, *(["geolrm", "view", each, "-o", target] for each in splats))


@pytest.mark.long
def test_run(tmp_path, bundles):
    cameras = box_cameras()
    folder = write_transforms(tmp_path / "box", box_photos(cameras, 64), cameras)
    target = tmp_path / "out" / "a.ply"
    options = ["-o", target, "--model", bundles["token"], "--refine", "0"]
    commands = [["geolrm", "run", folder, *options, "--views", views] for views in (3, 4)]
    killed(tmp_path, target, *commands)
