"""What a client may ask of a run in the query of a request."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geolrm.engine.bundle.manifest import MAX_REFINE_STEPS
from geolrm.engine.errors import InputError
from geolrm.engine.formats.splat_files import check_spz_version
from geolrm.engine.refinement.budget import check_quality
from geolrm.fleet.serving.formats import Format
from geolrm.fleet.serving.refusals import Refusal, sentence_of_fields

Switch = Literal["auto", "on", "off"]
SWITCHES: dict[Switch, Any] = {"auto": "auto", "on": True, "off": False}


class RunFields(BaseModel):
    """The options of :meth:`geolrm.Engine.run`, as ``geolrm run`` spells them."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(0, ge=0, lt=1 << 64, description="Of the random choice of anchors.")
    max_tokens: int | None = Field(
        None, ge=1, lt=1 << 31, description="Largest number of anchors; default: the model's."
    )
    selection: Literal["random", "confident"] = Field(
        "random", description="Which anchors, where more voxels are occupied."
    )
    quality: str | None = Field(
        None, max_length=32, description="fast, balanced, best, or seconds that a run may take."
    )
    refine_steps: int | None = Field(
        None, ge=0, le=MAX_REFINE_STEPS, description="Just so many steps instead; 0: none."
    )
    refine_poses: Switch = Field("auto", description="Move the cameras with the splats.")
    shading: Switch = Field("auto", description="Colours that depend on the direction.")

    def options(self) -> dict[str, Any]:
        """Return the options of a run.

        Raises:
            InputError: The quality is none.
        """
        return {
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "selection": self.selection,
            "quality": _quality(self.quality),
            "refine_steps": self.refine_steps,
            "refine_poses": SWITCHES[self.refine_poses],
            "shading": SWITCHES[self.shading],
        }


class ReconstructionFields(RunFields):
    """The options of a reconstruction of a whole capture."""

    views: str | None = Field(
        None,
        max_length=4000,
        pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*,?$",
        description="How many views, or frame indices i,j,...; default: the model's choice.",
    )
    format: Format | None = Field(
        None, description="What is made, where the header Accept does not say it: event streams."
    )
    sh_degree: int | None = Field(
        None, ge=0, le=3, description="Degree of the harmonics in PLY, SPZ or GLB."
    )
    spz_version: int | None = Field(None, ge=3, le=4, description="Of SPZ; default: 3.")

    def file_options(self, format: Format) -> dict[str, Any]:
        """Return what :func:`geolrm.fleet.serving.formats.write` takes, for a format.

        Raises:
            InputError: The format does not have what was asked for.
        """
        if format == "html":
            given = {"sh_degree": self.sh_degree, "spz_version": self.spz_version}
            for name in (name for name, value in given.items() if value is not None):
                raise InputError(f"{name} was given, but a page is no splat file: leave it out")
            return {}
        check_spz_version(f".{format}", self.spz_version)
        return {"sh_degree": self.sh_degree, "spz_version": self.spz_version}


def parse_run_fields(query: dict[str, str]) -> RunFields:
    """Parse the query of a live capture, which no framework parses.

    Raises:
        Refusal: A field breaks its rule.
    """
    try:
        return RunFields.model_validate(query)
    except ValidationError as error:
        raise Refusal(422, sentence_of_fields(error.errors())) from None  # pyright: ignore


def _quality(text: str | None) -> Any:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return check_quality(text)
    return check_quality(seconds)
