"""Models and captures that many tests share."""

import copy
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geolrm import Engine
from geolrm.engine.bundle.manifest import Range, Source
from geolrm.engine.captures import load_capture
from geolrm.examples import capture_path
from geolrm.export import bundle_writer
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.model import (
    EncoderConfig,
    GeoLRM,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
)
from geolrm.export.trace import trace

DATA = Path(__file__).parent / "data"
FULL_DATA = os.environ.get("GEOLRM_TEST_DATA")  # the folder of the full data set, if there is one
needs_full_data = pytest.mark.skipif(FULL_DATA is None, reason="GEOLRM_TEST_DATA names no folder")


def full_data(name: str) -> Path:
    """A folder of the full data set, of which the repository holds a part in tests/data."""
    assert FULL_DATA is not None, "only tests under needs_full_data ask for it"
    return Path(FULL_DATA) / name


def tiny_config(variant: str = "token", **encoder) -> GeoLRMConfig:
    block = TransformerConfig(24, 2, num_heads=2, num_points=2, self_attention=variant)
    return GeoLRMConfig(
        encoder=EncoderConfig(
            hidden_size=24, num_layers=1, num_heads=2, position_grid=5, feature_dim=12, **encoder
        ),
        proposal=ProposalConfig(block, grid_size=8, token_res=4, max_seq_len=64),
        reconstruction=ReconstructionConfig(block, grid_size=8, gaussians_per_anchor=4),
        image_size=56,
    )


def one_layer(config: GeoLRMConfig) -> GeoLRMConfig:
    """For what does not depend on the number of layers: it is traced in half the time."""
    parts = {name: getattr(config, name) for name in ("proposal", "reconstruction")}
    shallow = {
        name: replace(part, transformer=replace(part.transformer, num_layers=1))
        for name, part in parts.items()
    }
    return replace(config, **shallow)


def tiny_model(config: GeoLRMConfig, seed: int = 0) -> GeoLRM:
    """Random weights that leave nothing at a symmetric value, batch statistics included."""
    torch.manual_seed(seed)
    model = GeoLRM(config).eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    return model


def hash_of_weights(model: GeoLRM) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_tiny(model: GeoLRM, folder: Path, precision: str = "fp32") -> Path:
    options = ExportOptions(precision, Range(1, 3, 21), Range(1, 64, 512))
    source = Source("random", "", trained=False)
    write_bundle(model, folder, name="tiny", source=source, options=options)
    return folder


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


__all__ = [
    "DATA",
    "FULL_DATA",
    "full_data",
    "needs_full_data",
    "one_layer",
    "tiny_config",
    "tiny_model",
    "write_tiny",
]
