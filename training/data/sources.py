"""Training data by path: what kind it is, and the examples it yields."""

from collections.abc import Sequence
from pathlib import Path

from geolrm.engine.errors import InputError
from geolrm.training.config import Recipe
from geolrm.training.data.meshes import load_glb
from geolrm.training.episodes import EpisodeSource


def load_source(paths: Sequence[Path], recipe: Recipe) -> EpisodeSource:
    """Examples from folders of GLB meshes.

    Raises:
        InputError: A path is missing or holds nothing to train on.
    """
    files = [file for path in paths for file in find_meshes(path)]
    meshes = [load_glb(file) for file in files]
    return EpisodeSource(meshes, [file.stem for file in files], recipe)


def find_meshes(path: Path) -> list[Path]:
    """GLB files of a folder, sorted."""
    files = sorted(path.rglob("*.glb")) if path.is_dir() else []
    if not files:
        raise InputError(f"{str(path)!r} holds no .glb files; give a folder of textured meshes")
    return files
