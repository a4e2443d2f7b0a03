import json
import re
from pathlib import Path

import pytest

from geolrm import InputError
from geolrm.fleet.archives import ZipLimits
from geolrm.fleet.serving.settings import Limits, engine_threads, make_settings


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"nonsense": 1}, "nonsense is 1: Extra inputs are not permitted; change it"),
        ({"limits": {"queue": -1}}, "limits.queue is -1: Input should be greater than or equal"),
        ({"gpus": 0.5, "device": 1}, "device is 1 and gpus is 0.5: Ray shows each engine the GPUs "
         "that it reserves for it alone, the first of which is device 0; leave device out"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas is 2, less than the 3 of"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_one_sentence(fields, sentence):
    with pytest.raises(InputError) as refused:
        make_settings(**fields)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_limits_of_zip_files_are_those_of_requests():
    limits = Limits(zip_entries=5, zip_ratio=3, unpacked_bytes=9999)
    assert limits.archives == ZipLimits(5, 9999, 9999, 3)


def test_engines_of_one_machine_share_its_cores():
    assert engine_threads(make_settings(threads=3, cpus=1)) == 3
    assert engine_threads(make_settings(cpus=1.5)) == 1
    assert engine_threads(make_settings(cpus=0.5)) == 1
    assert engine_threads(make_settings(cpus=0)) is None


DEPLOY = Path(__file__).parents[3] / "deploy"


def test_containers_start_with_a_token_alone():
    """What others reach by default is open to nobody."""
    (command,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert json.loads(command) == ["serve", "--host", "0.0.0.0", "--port", "8000",
                                   "--require-token"]  # fmt: skip
    service = (DEPLOY / "rayservice.yaml").read_text()
    assert "          token_file: /secrets/token\n          require_token: true\n" in service
