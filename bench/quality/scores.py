"""The figures of an evaluation, as they stand in ``metrics.json``, and their means."""

import statistics
from collections.abc import Sequence

import msgspec

BASELINES = {
    "white": "white image",
    "visual_hull": "visual hull",
    "refined_hull": "hull, refined",
}


class Scores(msgspec.Struct, kw_only=True):
    """How well images and a shape match the truth; None where there is nothing to measure."""

    psnr: float | None = None  # dB, one mean squared error over all targets of an object
    ssim: float | None = None
    lpips: float | msgspec.UnsetType | None = msgspec.UNSET  # there only when weights were given
    iou: float | None = None  # occupied voxels
    cd: float | None = None  # Chamfer distance in [-1, 1]^3
    cd2: float | None = None  # with squared distances
    f02: float | None = None  # F-score at 0.2
    f002: float | None = None  # F-score at 0.02
    mesh_cd: float | None = None  # the same four of the fused mesh; None without a mesh
    mesh_cd2: float | None = None
    mesh_f02: float | None = None
    mesh_f002: float | None = None
    groups: dict[str, float] = {}  # PSNR of each group of targets


class BaselineScores(Scores, kw_only=True):
    """A baseline's figures."""

    seconds: float | None = None  # wall time from images to Gaussians; a mean's is the median


class ObjectScores(Scores, kw_only=True):
    """One object from one number of views; the outer figures are the model's."""

    seconds: float | None = None  # wall time of Engine.run
    gaussians: int | None = None
    baselines: dict[str, BaselineScores]


class ViewScores(Scores, kw_only=True):
    """The means over all objects for one number of views; the outer figures are the model's."""

    seconds: float | None = None  # median over the objects
    peak_bytes: int | None = None
    empty: int | None = None  # objects without a Gaussian: they have no cd and no cd2
    baselines: dict[str, BaselineScores]


class Protocol(msgspec.Struct, kw_only=True):
    """The protocol's choices that a report states."""

    inputs: dict[str, list[int]]  # frames by number of views
    targets: dict[str, list[int]]  # frames by group
    grid: int  # voxels along an axis, of iou
    points: int  # sampled from a reconstruction, for cd, cd2 and the F-scores
    seed: int
    ssim_data_range: float = 1.0
    transforms: str = "transforms.json"  # of each capture
    hull_steps: int = 0  # of refinement, of `refined_hull`
    changes: dict[str, float] = {}  # of the inputs: the fields of InputChanges


class ModelFacts(msgspec.Struct, kw_only=True):
    """The bundle that was evaluated, and how it ran."""

    name: str
    trained: bool
    precision: str
    backend: str
    threads: int
    checksum: str  # of the bundle's manifest, which lists those of its files
    quality: str | float | None = None  # None: just so many steps
    refine_steps: int | None = None  # None: as many as the quality gave


class ObjectReport(msgspec.Struct):
    """All figures of one object."""

    views: dict[str, ObjectScores]


class Report(msgspec.Struct, kw_only=True):
    """Everything that was measured."""

    protocol: Protocol
    model: ModelFacts | None  # None: the baselines alone
    views: dict[str, ViewScores]
    objects: dict[str, ObjectReport]

    def to_json(self) -> bytes:
        """Encode the report as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def as_baseline(scores: Scores, seconds: float | None = None) -> BaselineScores:
    """Return the same scores as those of a baseline, and the time it took."""
    return BaselineScores(**msgspec.structs.asdict(scores), seconds=seconds)


def average(objects: Sequence[ObjectScores], peak_bytes: int | None) -> ViewScores:
    """Average the scores of all objects for one number of views."""
    counts = [scores.gaussians for scores in objects if scores.gaussians is not None]
    return ViewScores(
        **_means(objects),
        seconds=_median(objects),
        peak_bytes=peak_bytes,
        empty=counts.count(0) if counts else None,
        baselines={
            name: BaselineScores(**_means(ones), seconds=_median(ones))
            for name in BASELINES
            if (ones := [scores.baselines[name] for scores in objects])
        },
    )


def _median(scores: Sequence[ObjectScores] | Sequence[BaselineScores]) -> float | None:
    seconds = [one.seconds for one in scores if one.seconds is not None]
    return statistics.median(seconds) if seconds else None


def _means(scores: Sequence[Scores]) -> dict:
    """Average field by field, over the objects that have a figure."""
    fields = {
        name: _mean([getattr(one, name) for one in scores])
        for name in Scores.__struct_fields__
        if name not in ("groups", "lpips")
    }
    perceptual = [one.lpips for one in scores if one.lpips is not msgspec.UNSET]
    if perceptual:
        fields["lpips"] = _mean(perceptual)
    groups = {name: _mean([one.groups[name] for one in scores]) for name in scores[0].groups}
    return {**fields, "groups": groups}


def _mean(values: Sequence) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
