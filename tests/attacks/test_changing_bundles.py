"""A bundle that changes on disk: an open engine never notices, and an opening one says so."""

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Engines
from hypothesis.stateful import (
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from geolrm import BundleError, Engine
from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.system import atomic
from geolrm.engine.system.atomic import atomic_folder

pytestmark = pytest.mark.filterwarnings("ignore")

# Runs in a process of its own, which a mapped file would end with SIGBUS.
OPENED = """
import sys
from pathlib import Path
import numpy as np
from geolrm import Engine

folder, how = Path(sys.argv[1]), sys.argv[2]
images = np.full((1, 64, 64, 3), 255, np.uint8)
images[0, 16:48, 16:48] = (200, 90, 30)
pose = np.eye(4)
pose[2, 3] = 2

def bits(engine):
    scene = engine.run(images, pose[None], fov=50, max_tokens=64)
    return [scene.logits.tobytes(), scene.gaussians.means.tobytes()], len(scene.gaussians)

engine = Engine(folder, threads=1)
if how == "after a run":
    before, number = bits(engine)
for file in folder.iterdir():
    size = file.stat().st_size
    with file.open("r+b") as opened:
        if how == "overwritten":
            opened.write(bytes(size))
        else:
            opened.truncate(0)
if how != "after a run":
    before, number = bits(Engine(sys.argv[3], threads=1))
after, _ = bits(engine)
print("same" if after == before and number else "other", number)
"""


@pytest.mark.parametrize("how", ["truncated", "overwritten", "after a run"])
def test_an_open_engine_needs_its_files_no_more(bundles, bundle_copy, how):
    command = [sys.executable, "-W", "ignore", "-c", OPENED, bundle_copy, how, bundles["token"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    word, number = done.stdout.split()
    assert word == "same" and int(number) > 0


def test_nothing_of_a_bundle_stays_open_or_mapped(bundle_copy):
    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux tells what is mapped")
    engine = Engine(bundle_copy, threads=1)
    files = [os.readlink(f"/proc/self/fd/{name}") for name in _open_files()]
    mapped = Path("/proc/self/maps").read_text()
    assert str(bundle_copy) not in mapped and not any(str(bundle_copy) in f for f in files)
    assert engine.bundle._loaded == {}


def _open_files():
    for name in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{name}"):
            yield name


def other_version(source, target):
    """The same bundle with other weights, whose manifest knows them."""
    shutil.copytree(source, target)
    weights = bytearray((target / "weights.safetensors").read_bytes())
    start = 8 + int.from_bytes(weights[:8], "little")
    values = np.frombuffer(weights, np.float32, offset=start)
    values *= np.float32(0.75)
    (target / "weights.safetensors").write_bytes(weights)
    content = json.loads((target / "manifest.json").read_bytes())
    digest = hashlib.sha256(weights).hexdigest()
    content["files"]["weights.safetensors"]["sha256"] = digest
    raw = manifests.encode(manifests.decode(json.dumps(content).encode()))
    (target / "manifest.json").write_bytes(raw)
    return target


@pytest.fixture(scope="module")
def versions(bundles, tmp_path_factory):
    """Two bundles of one model, and what each makes of one view."""
    root = tmp_path_factory.mktemp("versions")
    folders = [bundles["token"], other_version(bundles["token"], root / "other")]
    expected = [bits(Engine(folder, threads=1)) for folder in folders]
    assert expected[0] != expected[1]
    return folders, expected


def bits(engine):
    images = np.full((1, 64, 64, 3), 255, np.uint8)
    images[0, 16:48, 16:48] = (200, 90, 30)
    pose = np.eye(4)
    pose[2, 3] = 2
    scene = engine.run(images, pose[None], fov=50, max_tokens=64)
    return [scene.logits.tobytes(), scene.gaussians.means.tobytes()]


def export_again(folders, target, exchanges, rounds, stop):
    """Put one version in the place of the other, as an export does."""
    if not exchanges:
        atomic.exchange = lambda first, second: False
    for number in range(rounds):
        with atomic_folder(target) as temporary:
            shutil.copytree(folders[number % 2], temporary, dirs_exist_ok=True)
        if stop.is_set():
            return


@pytest.mark.skipif(os.name != "posix", reason="processes that fork")
@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "in two steps"])
def test_opening_while_an_export_replaces_it(versions, tmp_path, exchanges):
    from geolrm.engine.bundle.bundle import Bundle

    folders, _ = versions
    target = Path(shutil.copytree(folders[1], tmp_path / "bundle"))
    known = {
        manifests.decode((folder / "manifest.json").read_bytes()).checksum for folder in folders
    }
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    child = context.Process(target=export_again, args=(folders, target, exchanges, 10_000, stop))
    child.start()
    opened, refused = 0, []
    try:
        for _ in range(150):
            try:
                bundle = Bundle.open(target, load=True)
                assert bundle.manifest.checksum in known
                opened += 1
            except BundleError as error:
                refused.append(str(error))
    finally:
        stop.set()
        child.join(60)
    assert child.exitcode == 0
    sentence = (
        f"the bundle {str(target)!r} was replaced while it was opened, and again at the second "
        "attempt; open it when the export has ended"
    )
    assert set(refused) <= {sentence}
    assert opened > 75, (opened, refused)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


class ChangingFolder(RuleBasedStateMachine):
    """A folder that anybody changes, and engines that were opened from it meanwhile."""

    engines = Engines("engines")
    folders: tuple = ()
    expected: tuple = ()
    root: Path

    def __init__(self):
        super().__init__()
        self.target = self.root / "bundle"
        shutil.rmtree(self.target, ignore_errors=True)
        self.put(0)

    def put(self, version):
        with atomic_folder(self.target) as temporary:
            shutil.copytree(self.folders[version], temporary, dirs_exist_ok=True)
        self.version, self.whole, self.renamed = version, True, None

    @rule(version=st.integers(0, 1))
    def replace(self, version):
        self.put(version)

    @rule(data=st.data())
    def truncate(self, data):
        file = self.any_file(data)
        if file is not None:
            with file.open("r+b") as opened:
                opened.truncate(file.stat().st_size // 2)
            self.whole &= file.name not in self.matters

    @rule(data=st.data(), byte=st.integers(0, 255))
    def overwrite(self, data, byte):
        file = self.any_file(data)
        if file is not None:
            content = bytes([byte]) * file.stat().st_size
            changed = file.read_bytes() != content
            with file.open("r+b") as opened:
                opened.write(content)
            self.whole &= not changed or file.name not in self.matters

    @rule(data=st.data())
    def remove(self, data):
        file = self.any_file(data)
        if file is not None:
            file.unlink()
            self.whole &= file.name not in self.matters

    @rule(data=st.data())
    def take_from_the_other(self, data):
        """Copy one file of the other version over this one's, as a broken copy does."""
        name = data.draw(st.sampled_from(sorted(self.matters)))
        if self.target.is_dir():
            new = (self.folders[1 - self.version] / name).read_bytes()
            old = (self.folders[self.version] / name).read_bytes()
            (self.target / name).write_bytes(new)
            self.whole &= new == old

    @rule()
    def take_the_folder_away(self):
        shutil.rmtree(self.target, ignore_errors=True)
        self.whole = False

    @precondition(lambda self: self.whole)
    @rule(target=engines)
    def open_what_is_whole(self):
        return Engine(self.target, threads=1), self.version

    @precondition(lambda self: not self.whole)
    @rule()
    def open_what_is_not(self):
        with pytest.raises(BundleError) as caught:
            Engine(self.target, threads=1)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000

    @rule(opened=engines)
    def run(self, opened):
        engine, version = opened
        assert bits(engine) == self.expected[version]

    @rule(opened=consumes(engines))
    def close(self, opened):
        del opened

    @invariant()
    def nothing_is_left(self):
        assert {path.name for path in self.root.iterdir()} <= {"bundle"}

    @property
    def matters(self):
        content = json.loads((self.folders[0] / "manifest.json").read_bytes())
        return {"manifest.json", *content["files"]}

    def any_file(self, data):
        files = sorted(self.target.iterdir()) if self.target.is_dir() else []
        return data.draw(st.sampled_from(files)) if files else None


def test_a_folder_that_anybody_changes(versions, tmp_path):
    machine = type(
        "Machine",
        (ChangingFolder,),
        {"folders": versions[0], "expected": versions[1], "root": tmp_path},
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings.default.max_examples // 3, stateful_step_count=15, deadline=None
        ),
    )
