"""Parts of forms: their names mean frames, and nothing else."""

import pytest
from harness.served import assert_refused
from samples.served_captures import box_form, box_zip

from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.uploads import rename_frames


def renamed(paths, names):
    content = {"frames": [{"file_path": path, "mask_path": path + "_mask.png"} for path in paths]}
    ours = [f"images/{index:04d}.png" for index in range(len(names))]
    rename_frames(content, names, ours)
    return [frame["file_path"][-8:-4] for frame in content["frames"]]


def test_frames_mean_the_files_whose_names_end_as_theirs_do():
    names = ["left/1.PNG", "right/1.png", "C:\\a\\b\\2.jpg"]
    assert renamed(["./left/1", "/data/right/1.png", "b/2.png", "2"], names) == [
        "0000", "0001", "0002", "0002",
    ]  # fmt: skip


def test_frames_without_a_file_name_none():
    content = {"frames": [{"file_path": "../../etc/passwd"}, {"file_path": 3}, "x"]}
    rename_frames(content, ["1.png"], ["images/0000.png"])
    assert content["frames"] == [{"file_path": "missing/0000"}, {"file_path": 3}, "x"]
    for odd in ({}, {"frames": 1}, {"frames": [{}]}):
        rename_frames(odd, [], [])


def of(paths, names):
    """Which part each frame is given."""
    content = {"frames": [{"file_path": path} for path in paths]}
    rename_frames(content, names, [f"ours/{name}" for name in names])
    return [frame["file_path"] for frame in content["frames"]]


def test_a_mask_is_no_image_though_they_are_called_alike():
    content = {"frames": [{"file_path": "images/1.jpg", "mask_path": "masks/1.png"}]}
    rename_frames(content, ["1.png", "1.jpg"], ["a.png", "b.jpg"])
    assert content["frames"] == [{"file_path": "b.jpg", "mask_path": "a.png"}]
    # Without the mask, the image is that of the path of its own suffix.
    content = {"frames": [{"file_path": "images/1.jpg", "mask_path": "masks/1.png"}]}
    rename_frames(content, ["1.jpg"], ["b.jpg"])
    assert content["frames"] == [{"file_path": "b.jpg", "mask_path": "missing/0000"}]


@pytest.mark.parametrize(
    ("paths", "names", "found"),
    [
        (["rgb/0.png", "masks/0.png"], ["0.png", "masks/0.png"], ["0.png", "masks/0.png"]),
        (["rgb/0.jpeg"], ["0.JPG", "0.png"], ["0.JPG"]),
        (["train/r_0"], ["r_0.webp"], ["r_0.webp"]),
        (["a/0.png", "a/0.png"], ["0.png"], ["0.png", "0.png"]),  # one image, twice
        (["train/0.png", "test/0.png"], ["train/0.png"], ["train/0.png", None]),
    ],
)
def test_the_nearest_part_is_meant(paths, names, found):
    expected = [f"missing/{i:04d}" if name is None else f"ours/{name}"
                for i, name in enumerate(found)]  # fmt: skip
    assert of(paths, names) == expected


@pytest.mark.parametrize(
    ("paths", "names", "sentence"),
    [
        (["train/0.png", "test/0.png"], ["0.png", "0.png"],
         "the form has 2 parts that 'train/0.png' may mean; give their names the folders that tell "
         "them apart"),
        (["0"], ["0.png", "0.jpg"], "the form has 2 parts that '0' may mean; give their names the "
         "folders that tell them apart"),
        (["train/0.png", "test/0.png"], ["0.png"], "a part of the form may mean 'train/0.png' and "
         "'test/0.png'; give its name the folder that tells them apart"),
    ],
)  # fmt: skip
def test_parts_that_may_be_another_are_refused(paths, names, sentence):
    with pytest.raises(Refusal) as refused:
        of(paths, names)
    assert (refused.value.status, refused.value.sentence) == (400, sentence)


FORM = "the form has other parts than are read; send the part 'capture' with a zip file, or"


@pytest.mark.parametrize(
    ("parts", "status", "sentence"),
    [
        ([("other", ("a", b"x"))], 400, FORM),
        ([("capture", (None, "text"))], 400, FORM),
        ([*box_form(), ("capture", ("a.zip", box_zip()))], 400, FORM),
        (box_form()[:4] + [("transforms", (None, "[]"))], 400, "the part 'transforms' is no JSON"),
        (box_form()[:4] + [("transforms", (None, "{"))], 400, "the part 'transforms' must be"),
        (box_form() * 2, 400, "the part 'transforms' must be there once, as JSON of at most 16,7"),
        (box_form() + [("anchors", (None, "x"))], 400, "the part 'anchors' must be there once, as"),
        (box_form() + [("anchors", (None, "[[1]]"))], 422, "anchors have shape (1, 1); they must"),
        ([("images", (f"{i}.png", b"x")) for i in range(25)], 413, "the form has 25 images; this"),
        ([("images", (f"{i}.png", b"x")) for i in range(40)], 400, "the form cannot be read: Too"),
    ],
)  # fmt: skip
def test_a_form_of_other_parts_is_one_sentence(client, parts, status, sentence):
    answer = client.post("/v1/reconstructions?refine_steps=0", files=parts)
    assert_refused(answer, status, sentence)


@pytest.mark.parametrize(
    "body", [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"\x00" * 100]
)
def test_a_form_that_is_none_is_one_sentence(client, body):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/reconstructions", content=body, headers=kind)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error", "request_id"}
    none = {"Content-Type": "multipart/form-data"}
    assert_refused(
        client.post("/v1/reconstructions", content=body, headers=none), 400, "the form cannot be"
    )


def test_names_are_never_those_of_files(client):
    """Whatever the parts are called, frames find them, and nothing else is there."""
    for folder in ("../../../etc/\x00", "a" * 3000 + "/"):
        answer = client.post(
            "/v1/reconstructions?refine_steps=0&views=4", files=box_form(folder=folder)
        )
        assert answer.status_code == 200, answer.text
