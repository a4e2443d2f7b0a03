"""Models and captures that many tests share."""

import hashlib
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from samples.tiny_models import hash_of_weights, tiny_config, tiny_model, write_tiny

from geolrm import Engine
from geolrm.engine.captures import load_capture
from geolrm.engine.system.file_lock import locked
from geolrm.examples import capture_path
from geolrm.export import bundle_writer
from geolrm.export.model import GeoLRM
from geolrm.export.trace import trace

settings.register_profile("quick", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def folder_of_all_workers(tmp_path_factory) -> Path:
    """One folder for all processes of this run of the tests."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session", autouse=True)
def traced_once(folder_of_all_workers):
    """A model that is exported again, here or in another worker, is not traced again."""
    folder = folder_of_all_workers / "traces"
    folder.mkdir(exist_ok=True)

    def remembered(model: GeoLRM) -> list:
        key = hashlib.sha256(f"{model.config} {hash_of_weights(model)}".encode()).hexdigest()[:32]
        file = folder / f"{key}.pickle"
        with locked(folder / f"{key}.lock", "another worker traces this model", patience=600):
            if not file.exists():
                file.write_bytes(pickle.dumps(trace(model)))
        return pickle.loads(file.read_bytes())  # a copy: what lowers the graphs changes them

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_writer, "trace", remembered)
        yield


@pytest.fixture(scope="session")
def models() -> dict[str, GeoLRM]:
    return {variant: tiny_model(tiny_config(variant)) for variant in ("token", "head")}


@pytest.fixture(scope="session")
def bundles(models, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bundles")
    return {name: write_tiny(model, root / name) for name, model in models.items()}


@pytest.fixture(scope="session")
def engine(bundles) -> Engine:
    return Engine(bundles["token"], threads=2)


@pytest.fixture
def bundle_copy(bundles, tmp_path) -> Path:
    return Path(shutil.copytree(bundles["token"], tmp_path / "bundle"))


@pytest.fixture(scope="session")
def shoe():
    return load_capture(capture_path("shoe"))


@pytest.fixture(scope="session")
def shoe_views(shoe):
    chosen = shoe.subset(shoe.cameras.spread(4))
    return np.stack(chosen.images), chosen.cameras


@pytest.fixture
def capture_copy(tmp_path) -> Path:
    return Path(shutil.copytree(capture_path("banana"), tmp_path / "banana"))
