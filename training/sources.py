"""Training data by path: what kind it is, and the examples it yields."""

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path
from geolrm.training.config import Recipe
from geolrm.training.data.augmentation import augment
from geolrm.training.data.cache import Cache
from geolrm.training.data.captures import load_posed_capture
from geolrm.training.data.gobjaverse import load_gobjaverse
from geolrm.training.data.meshes import Mesh, load_glb
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.shapes import procedural_mesh
from geolrm.training.episodes import Episode, mesh_episode
from geolrm.training.posed_episodes import posed_episode

PROCEDURAL = "procedural"  # instead of a path: shapes made up, 100 or procedural:COUNT
LOADED_BYTES = 1 << 30  # of posed objects kept in memory
GOBJAVERSE_VIEW = "00000/00000.json"
GOBJAVERSE_LEVELS = ("", "*/", "*/*/", "campos_512_v4/", "*/campos_512_v4/", "*/*/campos_512_v4/")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A posed object that is read when its turn comes."""

    load: Callable[[], PosedObject]


class EpisodeSource:
    """Endless examples; one depends only on the seed and its number."""

    def __init__(
        self, objects: Sequence[Mesh | StoredObject], names: Sequence[str], recipe: Recipe
    ):
        self.objects, self.names, self.recipe = objects, list(names), recipe
        self.meshes = [entry for entry in objects if isinstance(entry, Mesh)]
        self.refused: set[int] = set()
        self._loaded: OrderedDict[int, PosedObject] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"EpisodeSource({len(self.meshes)} meshes, {len(self)} objects)"

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, number: int) -> Episode:
        # Whole passes over a shuffled list: every object is seen equally often.
        count = len(self.objects)
        lap, position = divmod(number, count)
        order = np.random.default_rng([self.recipe.seed, 1, lap]).permutation(count)
        for index in np.roll(order, -position).tolist():
            try:
                return self.make(index, np.random.default_rng([self.recipe.seed, number]))
            except InputError as error:
                self._refuse(index, error)
        raise InputError(f"none of the {count} objects can be trained on; see the warnings above")

    def make(self, index: int, rng: np.random.Generator) -> Episode:
        """Make an example of the object ``index``."""
        entry, name = self.objects[index], self.names[index]
        if isinstance(entry, StoredObject):
            return posed_episode(self._posed(index, entry), name, rng, self.recipe)
        others = lambda: self.meshes[int(rng.integers(len(self.meshes)))]  # noqa: E731
        mesh = augment(entry, rng, others, self.recipe.augmentation)
        return mesh_episode(mesh, name, rng, self.recipe)

    def _refuse(self, index: int, error: InputError) -> None:
        with self._lock:
            new = index not in self.refused
            self.refused.add(index)
        if new:
            warnings.warn(f"leaving out {self.names[index]}: {error}", stacklevel=4)

    def _posed(self, index: int, entry: StoredObject) -> PosedObject:
        with self._lock:
            posed = self._loaded.pop(index, None)
        posed = posed or entry.load()
        with self._lock:
            self._loaded[index] = posed
            while len(self._loaded) > 1 and sum(map(_size, self._loaded.values())) > LOADED_BYTES:
                self._loaded.popitem(last=False)
        return posed


def _size(posed: PosedObject) -> int:
    return posed.rgba.nbytes + posed.depth.nbytes + posed.points.nbytes


def load_source(
    paths: Sequence[str | Path],
    recipe: Recipe,
    cache: str | Path | None = None,
    chosen: Callable[[str], bool] = lambda name: True,
) -> EpisodeSource:
    """Load examples from folders of GLB meshes, of captures with depth, or GObjaverse.

    Args:
        paths: Of any of these kinds; ``procedural`` or ``procedural:COUNT`` are made-up shapes.
            ``PATH=TIMES``: each of its objects is seen so many times as often.
        recipe: Of the run.
        cache: Folder where decoded meshes are kept.
        chosen: Tells of an object by name whether it is read.

    Raises:
        InputError: A path is missing or holds nothing to train on, or no mesh can be read.
    """
    read = load_glb if cache is None else Cache(cache).mesh
    objects: list[Mesh | StoredObject] = []
    names: list[str] = []
    for path, times in map(weighed_path, paths):
        for name, entry in find_objects(path, recipe.seed):
            if not chosen(name):
                continue
            if isinstance(entry, Path):
                try:
                    entry = read(entry)
                except InputError as error:
                    warnings.warn(f"leaving out {name}: {error}", stacklevel=2)
                    continue
            objects += times * [entry]
            names += times * [name]
    if not objects:
        raise InputError(
            f"none of the meshes in {', '.join(repr(str(path)) for path in paths)} can be read; "
            "see the warnings above"
        )
    return EpisodeSource(objects, names, recipe)


def weighed_path(text: str | Path) -> tuple[str | Path, int]:
    """Part ``PATH=TIMES``; a path that exists as it is written counts once.

    Raises:
        InputError: TIMES is no whole number from 1 to 100.
    """
    path, equals, times = str(text).rpartition("=")
    if not equals or Path(text).exists():
        return text, 1
    if not (times.isdecimal() and 1 <= int(times) <= 100):
        raise InputError(
            f"--data {str(text)!r} does not exist; after = must stand how many times as often its "
            "objects are seen, a whole number from 1 to 100"
        )
    return path, int(times)


def find_objects(path: str | Path, seed: int = 0) -> list[tuple[str, Path | Mesh | StoredObject]]:
    """Find the objects of a path by name, sorted: files of meshes, meshes, or objects to read.

    Raises:
        InputError: The path is missing, or holds nothing to train on.
    """
    checked = existing_path(path)
    if not checked.exists():
        return _procedural(str(path), seed)
    if checked.is_file() and checked.suffix == ".glb":
        return [(checked.stem, checked)]
    if not checked.is_dir():
        raise InputError(f"{str(path)!r} is no folder and no .glb file; {_wanted()}")
    for level in GOBJAVERSE_LEVELS:
        views = sorted(checked.glob(level + GOBJAVERSE_VIEW))
        if views:
            return _stored([file.parents[1] for file in views], checked, load_gobjaverse)
    meshes = sorted(checked.rglob("*.glb"))
    captures = [file.parent for file in sorted(checked.rglob("transforms.json"))]
    if not meshes and not captures:
        raise InputError(f"{str(path)!r} holds nothing to train on; {_wanted()}")
    return [
        *((file.stem, file) for file in meshes),
        *_stored(captures, checked, load_posed_capture),
    ]


def _stored(
    folders: Sequence[Path], root: Path, load: Callable[[Path], PosedObject]
) -> list[tuple[str, Path | Mesh | StoredObject]]:
    name = lambda f: f.relative_to(root).as_posix() if f != root else f.name  # noqa: E731
    return [(name(folder), StoredObject(partial(load, folder))) for folder in folders]


def _wanted() -> str:
    return (
        "give a folder of .glb meshes, of captures with depth (transforms.json), or of GObjaverse "
        f"objects, or {PROCEDURAL!r} for made-up shapes"
    )


def _procedural(text: str, seed: int) -> list[tuple[str, Path | Mesh | StoredObject]]:
    kind, _, count = text.partition(":")
    if kind != PROCEDURAL:
        raise InputError(f"{text!r} does not exist; {_wanted()}")
    if count and not (count.isdecimal() and 0 < int(count) <= 100_000):
        raise InputError(f"{text!r} must be {PROCEDURAL}:COUNT, with COUNT from 1 to 100000")
    return [
        (f"shape{index}", procedural_mesh(np.random.default_rng([seed, 2, index])))
        for index in range(int(count or 100))
    ]
