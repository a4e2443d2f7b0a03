import pytest
import torch
from safetensors.torch import save_file

from geolrm import InputError
from geolrm.export.state_dict import read_state_dict

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(1)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_tensors_of_both_kinds_of_file(tmp_path, wrapped):
    save_file(TENSORS, tmp_path / "a.safetensors")
    torch.save({"state_dict": TENSORS, "epoch": 3} if wrapped else TENSORS, tmp_path / "a.ckpt")
    for name in ("a.safetensors", "a.ckpt"):
        found = read_state_dict(tmp_path / name, "a model")
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"nothing", "a.safetensors' is no readable safetensors file"),
        ("a.ckpt", b"nothing", "cannot be read as a plain state dict .* one of a model"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_state_dict(tmp_path / name, "a model")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"epoch": 3}}])
def test_files_without_tensors(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="is no state dict of named tensors; give one of a model"):
        read_state_dict(tmp_path / "a.ckpt", "a model")


def test_objects_are_never_unpickled(tmp_path):
    torch.save({"model": pytest.Mark}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="holds other objects than tensors, which are never"):
        read_state_dict(tmp_path / "a.ckpt", "a model")
