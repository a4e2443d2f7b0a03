import pytest

from geolrm import InputError
from geolrm.fleet.serving.fields import ReconstructionFields, RunFields, parse_run_fields
from geolrm.fleet.serving.refusals import Refusal


def test_defaults_are_those_of_a_run():
    assert parse_run_fields({}).options() == {
        "seed": 0, "max_tokens": None, "selection": "random", "quality": None,
        "refine_steps": None, "refine_poses": "auto", "shading": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "quality"), [("fast", "fast"), ("best", "best"), ("2.5", 2.5), ("30", 30.0)]
)
def test_quality_is_a_name_or_seconds(text, quality):
    assert RunFields(quality=text).options()["quality"] == quality


@pytest.mark.parametrize("text", ["good", "nan", "-1", "1e9", "0"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(InputError, match="quality is"):
        RunFields(quality=text).options()


def test_a_wrong_query_of_a_live_capture_is_one_sentence():
    with pytest.raises(Refusal, match="seed is 'x': Input should be a valid integer") as refused:
        parse_run_fields({"seed": "x"})
    assert refused.value.status == 422


def test_options_of_the_file_are_those_of_its_format():
    asked = ReconstructionFields(sh_degree=3, spz_version=4)
    assert asked.file_options("spz") == {"sh_degree": 3, "spz_version": 4}
    for format, said in (
        ("ply", "spz_version was given, but .ply files are no SPZ: leave it out"),
        ("html", "sh_degree was given, but a page is no splat file: leave it out"),
    ):
        with pytest.raises(InputError) as refused:
            asked.file_options(format)
        assert str(refused.value) == said
    assert ReconstructionFields().file_options("html") == {}
