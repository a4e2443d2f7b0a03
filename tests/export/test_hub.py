"""Checkpoints by name, from a hub on loopback that speaks its protocol."""

import errno
import hashlib
import json
from unittest.mock import Mock

import msgspec
import pytest
from doubles.hub import COMMIT, Hub, serving, use
from harness.processes import call_here
from safetensors.torch import save
from samples.tiny_models import one_layer, tiny_config, tiny_model

from geolrm import Engine, InputError
from geolrm.engine.bundle.manifest import CONFIG_KEY
from geolrm.engine.errors import CheckpointError, GeoLRMError
from geolrm.export.hub import HubName, choose_file, fetch, parse_hub_name

FORM = "hf:OWNER/NAME@REVISION or hf:OWNER/NAME@REVISION/FILE"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    files = {"README.md": b"", "a/model.safetensors": b"weights", "model.ckpt": b"others"}
    with serving(Hub(files), monkeypatch, tmp_path / "cache") as found:
        yield found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf:LinShan/GeoLRM@main", ("LinShan/GeoLRM", "main", None)),
        ("hf:o/n.2@v1.0/a/b.ckpt", ("o/n.2", "v1.0", "a/b.ckpt")),
        (f"hf:o/n@{COMMIT}/m.safetensors", ("o/n", COMMIT, "m.safetensors")),
    ],
)
def test_names(text, parts):
    name = parse_hub_name(text)
    assert name == HubName(*parts) and str(name) == text
    assert name.model == parts[0].split("/")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:o/n", f"the checkpoint is 'hf:o/n'; it must be {FORM}; a revision is needed: a "
         "commit, a tag, or main"),
        ("hf:n@main", f"the checkpoint is 'hf:n@main'; it must be {FORM}"),
        ("hf:o/../n@main", f"the checkpoint is 'hf:o/../n@main'; it must be {FORM}"),
        ("hf:o/n@../x/a.ckpt", f"the checkpoint is 'hf:o/n@../x/a.ckpt'; it must be {FORM}"),
        ("hf:o/n@main/../a.ckpt", "the file is '../a.ckpt'; it must be a .safetensors or .ckpt "
         "file of the repository, such as model.safetensors"),
        ("hf:o/n@main/a.pkl", "the file is 'a.pkl'; it must be a .safetensors or .ckpt file of "
         "the repository, such as model.safetensors"),
    ],
)  # fmt: skip
def test_other_names_are_refused(text, message):
    with pytest.raises(InputError) as error:
        parse_hub_name(text)
    assert str(error.value) == message


def test_a_branch_becomes_the_commit_that_it_is_and_safetensors_are_preferred(hub):
    found = fetch(parse_hub_name("hf:owner/model@main"))
    assert found.path.read_bytes() == b"weights" and found.license == "apache-2.0"
    assert str(found.name) == f"hf:owner/model@{COMMIT}/a/model.safetensors"


def test_what_is_pinned_is_fetched_once_and_found_without_a_network(hub, monkeypatch):
    name = parse_hub_name(f"hf:owner/model@{COMMIT}/model.ckpt")
    first = fetch(name)
    assert first.path.read_bytes() == b"others" and first.license == "apache-2.0"
    hub.requests.clear()
    again = fetch(name)
    assert (again.path, again.name, again.license) == (first.path, name, "apache-2.0")
    assert hub.requests == [f"GET /api/models/owner/model/revision/{COMMIT}"]  # for the licence
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    alone = fetch(name)
    assert (alone.path, alone.name, alone.license) == (first.path, name, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:owner/other@main", "there is no repository owner/other on the hub, or it is private; "
         "check its name, or set HF_TOKEN"),
        ("hf:owner/model@v9", "owner/model has no revision v9; name a commit, a tag or main"),
        ("hf:owner/model@main/b.ckpt", "owner/model has no file b.ckpt at main; leave the file "
         "out, or look for its name on the repository's page"),
    ],
)  # fmt: skip
def test_what_is_not_there(hub, text, message):
    with pytest.raises(InputError) as error:
        fetch(parse_hub_name(text))
    assert str(error.value) == message


def no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "cache", "Not a directory"


def full_disk(tmp_path):
    return tmp_path, "No space left on device"


@pytest.mark.parametrize("kept_in", [no_folder, full_disk])
def test_a_cache_that_takes_no_file(hub, tmp_path, monkeypatch, kept_in):
    folder, reason = kept_in(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    if kept_in is full_disk:
        error = OSError(errno.ENOSPC, reason)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", Mock(side_effect=error))
    with pytest.raises(GeoLRMError) as error:
        fetch(parse_hub_name("hf:owner/model@main"))
    assert str(error.value) == (
        f"hf:owner/model@main cannot be kept in the hub's cache: {reason}; make room there, or "
        "name another folder by HF_HUB_CACHE"
    )


def test_terms_to_agree_to(hub):
    hub.gated = True
    with pytest.raises(InputError, match="is given to those alone who agree to its terms; agree"):
        fetch(parse_hub_name("hf:owner/model@main"))


def test_a_hub_that_names_no_commit(hub):
    hub.commit = "../../main\x1b[2J"
    with pytest.raises(CheckpointError, match=r"is commit '../../main\\x1b\[2J', which is none"):
        fetch(parse_hub_name("hf:owner/model@main"))


@pytest.mark.parametrize(("offline", "reason"), [(False, "ConnectError"), (True, "OfflineM")])
def test_without_a_network(tmp_path, monkeypatch, offline, reason):
    use("http://127.0.0.1:9", monkeypatch, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    with pytest.raises(CheckpointError) as error:
        fetch(parse_hub_name("hf:owner/model@main"))
    said, _, remedy = str(error.value).partition(f"({reason}")
    assert said == "hf:owner/model@main is not in the cache, and the hub cannot be reached "
    assert remedy.endswith("; check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give a file")


def test_which_file_is_a_checkpoint():
    name = HubName("o/n", "main")
    assert choose_file(["b.ckpt", "x.bin"], name) == "b.ckpt"
    with pytest.raises(InputError) as error:
        choose_file(["b.ckpt", "a.ckpt"], name)
    assert str(error.value) == (
        "hf:o/n@main holds 2 checkpoints (a.ckpt, b.ckpt); name one: hf:o/n@main/a.ckpt"
    )
    with pytest.raises(InputError, match="holds no checkpoint"):
        choose_file(["a.bin"], name)


def test_an_export_keeps_the_commit_and_the_hash(hub, tmp_path):
    config = one_layer(tiny_config())
    content = save(
        dict(tiny_model(config).state_dict()), {CONFIG_KEY: msgspec.json.encode(config).decode()}
    )
    hub.files, hub.license = {"model.safetensors": content}, "mit"
    command = ["geolrm-export", "hf:owner/model@main", "-o", tmp_path / "bundle", "--no-verify"]
    done = call_here(*command, "--backend", "onnxruntime", "--tokens", "1:32:64", "--json")
    assert done.returncode == 0, done.stderr
    pinned, digest = f"hf:owner/model@{COMMIT}/model.safetensors", hashlib.sha256(content)
    summary = json.loads(done.stdout)
    assert summary["model"] == "model"
    assert summary["source"] == {
        "checkpoint": pinned, "sha256": digest.hexdigest(), "license": "mit",
    }  # fmt: skip
    source = Engine(tmp_path / "bundle").manifest.source
    assert (source.checkpoint, source.sha256) == (pinned, digest.hexdigest())
