import importlib
import sys

import pytest
from typer.testing import CliRunner

from geolrm.bench import command
from geolrm.bench.gpu.choices import Choices


@pytest.mark.parametrize(
    "name", ["raster", "kernels", "engine", "scaling", "formats", "photos", "gpu-raster"]
)
def test_options_are_passed_on_as_they_are(monkeypatch, name):
    given = []
    module = importlib.import_module(f"geolrm.bench.{name.replace('-', '_')}")
    monkeypatch.setattr(module, "main", given.append)
    result = CliRunner().invoke(command.app, [name, "--json", "--repeats", "3", "--help"])
    assert result.exit_code == 0 and given == [["--json", "--repeats", "3", "--help"]]


def test_parts_of_the_gpu_benchmark_are_chosen(monkeypatch, tmp_path):
    given = []
    importlib.import_module("geolrm.bench.gpu.__main__")
    monkeypatch.setattr(
        sys.modules["geolrm.bench.gpu.__main__"],
        "run",
        lambda *options, choices: given.append((*options, choices)),
    )
    arguments = ["gpu", "-o", str(tmp_path), "--only", "tests", "--only", "kernels"]
    assert CliRunner().invoke(command.app, arguments).exit_code == 0
    assert CliRunner().invoke(command.app, arguments[:3]).exit_code == 0
    more = [*arguments[:3], "--settings", "6x8", "--seconds", "3", "--limit", "560"]
    assert CliRunner().invoke(command.app, more).exit_code == 0
    assert given == [
        (tmp_path, ["tests", "kernels"], Choices()), (tmp_path, [], Choices()),
        (tmp_path, [], Choices(((6, 8),), 3.0, 560.0)),
    ]  # fmt: skip
