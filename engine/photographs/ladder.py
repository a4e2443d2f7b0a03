"""The ladder: what is tried, in turn, until the photographs are in one model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.photographs.child_process import run_job
from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.models import Model, joined, read_models
from geolrm.engine.photographs.pairs import (
    STRONGEST,
    choose_pairs,
    closing_pairs,
    vote,
    weak_pairs,
)
from geolrm.engine.photographs.steps import Steps, Tell

ENOUGH = 0.97  # share of the photographs in one model above which nothing more is tried
FOCAL_STEP = 0.02  # focal lengths of EXIF within this ratio are one camera's
FEWEST = 3  # photographs of a model


@dataclass(frozen=True, slots=True)
class Rung:
    """One attempt; it goes on from the features and matches of one with equal features."""

    title: str
    features: int = 8192
    peak: float = 0.002  # least contrast of a feature
    enlarged: bool = False  # photographs at full size, where they were reduced
    guided: bool = False  # weak pairs again, with guided matching
    more_pairs: bool = False
    mapper: str = "incremental"


RUNGS = (
    Rung("chosen pairs"),
    Rung("guided matching of weak pairs", guided=True),
    Rung("more pairs", guided=True, more_pairs=True),
    Rung("the global mapper", guided=True, more_pairs=True, mapper="global"),
    Rung("more features, larger images", features=16384, peak=0.001, enlarged=True, guided=True,
         more_pairs=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """The best model, and what was tried for it."""

    model: Model | None
    others: tuple[Model, ...]  # those of any rung that share no photograph with it
    rungs: list[dict[str, Any]]  # title, photographs in its largest model, number of models
    features: dict[str, int]  # of each photograph
    verified: dict[str, int]  # photographs that each one has confirmed matches with


def climb(
    steps: Steps,
    photographs: Sequence[Photograph],
    folder: Path,
    enlarge: Callable[[], tuple[Sequence[Photograph], Path]],
    masks: Path | None,
    key: Any,
    threads: int,
    seed: int,
    tell: Tell,
) -> Climb:
    """Try rung after rung until enough photographs are in one model, and keep the best.

    Args:
        steps: Keeps what is done.
        photographs: Those of use.
        folder: Of the photographs.
        enlarge: Gives them, and their folder, at full size; asked when all else fell short.
        masks: The folder of masks outside of which features are left out.
        key: What the steps' results depend on beside these.
        threads: How many.
        seed: Of what is random.
        tell: Takes titles and progress.

    Raises:
        InputError: The disk is full.
        GeoLRMError: pycolmap is missing, or failed at the first rung.
    """
    best: Climb | None = None
    told: list[dict[str, Any]] = []
    seen: dict[tuple[str, ...], Model] = {}
    for rung in RUNGS:
        try:
            shown, place = enlarge() if rung.enlarged and masks is None else (photographs, folder)
            posed = best.model.names if best and best.model else ()
            found = _attempt(steps, rung, shown, place, masks, key, threads, seed, tell, posed)
        except InputError:  # such as a full disk, of which no other rung makes anything better
            raise
        except GeoLRMError as error:
            if best is None:
                raise
            told.append({"rung": rung.title, "failed": str(error)})
            continue
        told += found.rungs
        seen |= {each.names: each for each in (found.model, *found.others) if each is not None}
        if best is None or _size(found.model) > _size(best.model):
            best = replace(found, model=_at_size(found.model, photographs))
        if _size(best.model) >= ENOUGH * len(photographs):
            break
    assert best is not None
    inside = set(best.model.names) if best.model else set()
    others = tuple(each for names, each in seen.items() if inside.isdisjoint(names))
    return Climb(best.model, others, told, best.features, best.verified)


def _attempt(
    steps: Steps,
    rung: Rung,
    photographs: Sequence[Photograph],
    folder: Path,
    masks: Path | None,
    key: Any,
    threads: int,
    seed: int,
    tell: Tell,
    posed: Sequence[str],  # of the best model so far
) -> Climb:
    images = str(folder)
    names = [each.file for each in photographs]
    base = (
        key,
        masks.name if masks else None,
        rung.features,
        rung.peak,
        rung.enlarged,
        seed,
        threads,
    )
    place = steps.place("features" if rung.features == 8192 else "more_features", *base)
    log, database = place / "colmap.log", str(place / "database.db")
    features: dict[str, int] = steps.done(
        place,
        lambda: run_job(
            "extract", log, tell("finding features"), database=database, images=images,
            groups=_groups(photographs), masks=str(masks) if masks else None,
            features=rung.features, peak=rung.peak, threads=threads, seed=seed,
        ),
    )  # fmt: skip
    prefix = "" if rung.features == 8192 else "more_"
    chosen = steps.place(f"{prefix}pairs", *base)

    def choose() -> dict[str, Any]:
        file = chosen / "strongest.npz"
        run_job("strongest", log, database=database, count=STRONGEST, output=str(file))
        with np.load(file) as arrays:
            empty = np.empty((0, 128), np.uint8)
            votes = vote([arrays.get(n, empty) for n in names], tell("choosing pairs"))
        return {"votes": votes.tolist(), "pairs": choose_pairs(votes)}

    choice = steps.done(chosen, choose)
    pairs = [tuple(pair) for pair in choice["pairs"]]
    votes = np.array(choice["votes"], np.int64)
    matching = (names, log, database, threads, seed, tell)
    links = _match(steps, chosen, "matches", pairs, *matching)
    weak: list[tuple[int, int]] = []
    if rung.guided:
        # Chosen once: what later rungs put into the model must not have all of them matched again.
        outside = np.array([name not in posed for name in names])
        choose_weak = partial(weak_pairs, _matrix(links, names), pairs, votes, outside)
        found_weak = steps.done(steps.place(f"{prefix}weak_pairs", chosen.name), choose_weak)
        weak = [tuple(pair) for pair in found_weak]
        links = _match(steps, chosen, "guided_matches", weak, *matching, links, guided=True)
    more: list[tuple[int, int]] = []
    if rung.more_pairs:
        more = closing_pairs(_matrix(links, names), [*pairs, *weak], votes)
        links = _match(steps, chosen, "closing_matches", more, *matching, links)
    built = steps.place(f"{prefix}{rung.mapper}_model{'_guided' * rung.guided}"
                        f"{'_of_more' * rung.more_pairs}", *base, links)  # fmt: skip
    count = steps.done(
        built,
        lambda: run_job(
            "build", log, tell(f"building a model ({rung.title})"), database=database,
            images=images, output=str(built), mapper=rung.mapper, photographs=len(names),
            threads=threads, seed=seed,
        ),
    )  # fmt: skip
    models = [model for model in read_models(built, count) if len(model) >= FEWEST]
    model, together = joined(models) if models else (None, 0)
    told = {
        **asdict(rung),
        "rung": rung.title,
        "pairs": len({*pairs, *weak, *more}),
        "guided_pairs": len(weak),
        "verified_pairs": len(links),
        "models": [len(each) for each in models],
        "joined": together,
        "posed": _size(model),
    }
    del told["title"]
    others = tuple(m for m in models if model is None or not set(m.names) <= set(model.names))
    verified = dict.fromkeys(names, 0)
    for first, second, _ in links:
        verified[first] += 1
        verified[second] += 1
    return Climb(model, others, [told], features, verified)


def _match(
    steps: Steps,
    chosen: Path,
    title: str,
    pairs: Sequence[tuple[int, ...]],
    names: Sequence[str],
    log: Path,
    database: str,
    threads: int,
    seed: int,
    tell: Tell,
    known: list[list[Any]] | None = None,  # what is there already
    guided: bool = False,
) -> list[list[Any]]:
    if not pairs and known is not None:
        return known
    kind = chosen.name.split("-")[0]
    place = steps.place(f"{kind}_{title}", chosen.name, pairs)
    named = [[names[a], names[b]] for a, b in pairs]
    if guided:  # a pair that has matches is not matched again; an interrupted call goes on
        again = steps.place(f"{kind}_{title}_cleared", chosen.name, pairs)
        steps.done(again, lambda: run_job("forget", log, database=database, pairs=named))
    return steps.done(
        place,
        lambda: run_job(
            "match", log, tell("matching photographs" + " more carefully" * guided),
            database=database, pairs=named, guided=guided, threads=threads, seed=seed,
        ),
    )  # fmt: skip


def _groups(photographs: Sequence[Photograph]) -> list[dict[str, Any]]:
    """Group photographs by camera: size, and focal length where EXIF has one."""
    groups: dict[Any, dict[str, Any]] = {}
    for each in photographs:
        step = None if each.focal is None else round(np.log(each.focal) / FOCAL_STEP)
        size = (each.width, each.height)
        entry = groups.setdefault((size, step), {"names": [], "focal": each.focal, "size": size})
        entry["names"].append(each.file)
    return list(groups.values())


def _matrix(links: Sequence[Sequence[Any]], names: Sequence[str]) -> np.ndarray:
    index = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    for first, second, number in links:
        a, b = index[first], index[second]
        matrix[a, b] = matrix[b, a] = number
    return matrix


def _size(model: Model | None) -> int:
    return 0 if model is None else len(model)


def _at_size(model: Model | None, photographs: Sequence[Photograph]) -> Model | None:
    """Give the cameras of a model of enlarged photographs the size of the photographs."""
    if model is None:
        return None
    widths = {each.file: (each.width, each.height) for each in photographs}
    cameras = []
    for name, camera in zip(model.names, model.cameras, strict=True):
        width, height = widths[name]
        scale = width / camera["width"]
        focal, cx, cy, *lens = camera["params"]
        params = [focal * scale, cx * scale, cy * height / camera["height"], *lens]
        cameras.append({**camera, "width": width, "height": height, "params": params})
    return replace(model, cameras=tuple(cameras))
