"""Models and captures that many tests share."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from samples.tiny_models import hash_of_weights, tiny_config, tiny_model, write_tiny

from geolrm import Engine
from geolrm.engine.captures import load_capture
from geolrm.examples import capture_path
from geolrm.export import bundle_writer
from geolrm.export.model import GeoLRM
from geolrm.export.trace import trace


@pytest.fixture(scope="session", autouse=True)
def traced_once():
    """A model that is exported again, in another precision say, is not traced again."""
    known: dict[str, list] = {}

    def remembered(model: GeoLRM) -> list:
        key = f"{model.config} {hash_of_weights(model)}"
        if key not in known:
            known[key] = trace(model)
        return copy.deepcopy(known[key])  # what lowers them changes them

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
