import numpy as np
import pytest
import torch
from harness.data import DATA

from geolrm import InputError
from geolrm.export.conformance.case import Case, recorded_name, scenes, select_recorded

FOLDER = DATA / "conformance" / "case_A"


@pytest.fixture(scope="module")
def case():
    return Case.load(FOLDER)


def test_a_folder_must_hold_all_three_files(tmp_path):
    with pytest.raises(InputError, match="is no conformance case: it lacks config.json"):
        Case.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is no conformance case: it lacks io.npz"):
        Case.load(tmp_path)


@pytest.mark.parametrize(
    ("variant", "attention", "scale"),
    [("head", "head", 1.0), ("token.scale1", "token", 1.0), ("token.scale05", "token", 0.5)],
)
def test_a_variant_is_a_configuration(case, variant, attention, scale):
    config = case.model_config(variant)
    assert config.self_attention == attention and config.reconstruction.xyz_scale == scale
    assert config.image_size == case.config["image_size"]


def test_scenes_of_a_batch(case):
    found = list(scenes(case))
    assert [index for index, *_ in found] == list(range(len(case.arrays["images"])))
    _, images, c2w, intrinsics = found[0]
    assert len(images) == len(c2w) == len(intrinsics)


def test_anchors_follow_the_recorded_permutation(case):
    logits = -np.ones((4, 4, 4), np.float32)
    logits.reshape(-1)[[3, 9, 40]] = 1
    flat, positions, mask = select_recorded(case, logits, 0, 5)
    assert flat.tolist() == [3, 9, 40] and mask.tolist() == [True] * 3 + [False] * 2
    np.testing.assert_allclose(positions[0], [-0.5, -0.5, 0.5])
    assert not positions[3:].any()
    shuffled = Case(case.path, {}, {"sel.perm.0": np.array([2, 0, 1])}, {})
    _, chosen, _ = select_recorded(shuffled, logits, 0, 2)
    np.testing.assert_allclose(chosen[1], positions[0])
    assert not np.allclose(chosen[0], positions[1])


def test_harmonics_may_have_a_name_of_their_own(case):
    with_sh = Case(case.path, {}, {"gen.head.gs_sh": np.zeros(3)}, {})
    assert recorded_name(with_sh, "colors", torch.zeros(2, 4, 3)) == "gs_sh"
    assert recorded_name(with_sh, "colors", torch.zeros(2, 3)) == "gs_rgb"
    assert recorded_name(case, "means", torch.zeros(2, 3)) == "gs_xyz"
