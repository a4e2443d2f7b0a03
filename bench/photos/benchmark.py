"""What photographs do to a reconstruction that renders do not: `geolrm bench photos`.

Wrong poses and what refining them brings back, objects that every view cuts, and real photographs.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from geolrm.bench.machine import describe
from geolrm.bench.photos import cut_views, real_photographs, without_poses, wrong_poses
from geolrm.bench.photos.records import Record, Records
from geolrm.bench.photos.table import (
    Line,
    cut_view_lines,
    real_photograph_lines,
    to_markdown,
    without_poses_lines,
    wrong_pose_lines,
)
from geolrm.bench.quality.dataset import Subject, find_subjects, load_subject
from geolrm.engine.engine import Engine
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_file

# Parts, as rows name them.
WRONG_POSES, CUT_VIEWS = "wrong poses", "cut views"
REAL_PHOTOGRAPHS, WITHOUT_POSES = "real photographs", "without poses"
QUICK_OBJECTS = 2
QUICK_CASES = ((12, 0.0), (12, 1.0))


def measure_scans(
    data: str | Path,
    *,
    objects: list[str] | None,
    quick: bool,
    records: Records,
    engine: Engine,
    say: Callable[[str], None],
) -> list[Line]:
    """Measure what ``records`` lacks, object by object, and return the table.

    Args:
        data: Captures of the protocol of ``geolrm eval``, with depth images.
        objects: Names; None takes all.
        quick: Measure two objects and the first rows alone.
        records: The rows known, which grow.
        engine: That is measured.
        say: Given a line for each row that is made.
    """
    cases = QUICK_CASES if quick else wrong_poses.CASES
    found = find_subjects(data, objects)
    if quick and objects is None:
        found = dict(list(found.items())[:QUICK_OBJECTS])
    for number, (name, folder) in enumerate(found.items(), 1):
        subject: list[Subject] = []

        def loaded(
            subject: list[Subject] = subject, name: str = name, folder: Path = folder
        ) -> Subject:
            if not subject:
                subject.append(load_subject(name, folder))
            return subject[0]

        before = f"{number}/{len(found)} {name}"
        for views, wrong in cases:
            if records.find(part=WRONG_POSES, name=name, views=views, wrong=wrong) is None:
                made = records.add(WRONG_POSES, wrong_poses.score(loaded(), engine, views, wrong))
                say(f"{before}: {_wrong_pose_text(made)}")
        if not quick and records.find(part=CUT_VIEWS, name=name) is None:
            made = records.add(
                CUT_VIEWS,
                cut_views.score(loaded(), engine, cut_views.OUTSIDE, cut_views.VIEWS),
            )
            say(f"{before}: cut views {made['cut']:.2f} dB, whole {made['whole']:.2f}")
    kept = [row for row in records.rows if row.get("name") in found]
    return [
        *wrong_pose_lines([row for row in kept if row["part"] == WRONG_POSES]),
        *cut_view_lines([row for row in kept if row["part"] == CUT_VIEWS]),
    ]


def measure_photographs(
    folder: Path, records: Records, engine: Engine, say: Callable[[str], None]
) -> list[Line]:
    """Measure photographs with given poses, unless ``records`` has them, and return their line."""
    source = str(folder)
    if records.find(part=REAL_PHOTOGRAPHS, source=source) is None:
        for row in real_photographs.rows(folder, model=engine):  # all or none are kept
            made = records.add(REAL_PHOTOGRAPHS, row, source=source)
            say(f"{made['name']}: {made['shipped']:.2f} dB, plain colours {made['plain']:.2f}")
    rows = [row for row in records.of(REAL_PHOTOGRAPHS) if row["source"] == source]
    return real_photograph_lines(rows)


def measure_without_poses(
    folder: Path, records: Records, engine: Engine, say: Callable[[str], None]
) -> list[Line]:
    """Pose photographs, unless ``records`` has them, and return their line."""
    source = str(folder)
    if records.find(part=WITHOUT_POSES, source=source) is None:
        row = without_poses.measure(folder, threads=engine.threads)
        made = records.add(WITHOUT_POSES, row, source=source)
        say(f"{made['name']}: {made['posed']} of {made['photographs']} in {made['seconds']:.0f} s")
    rows = [row for row in records.of(WITHOUT_POSES) if row["source"] == source]
    return without_poses_lines(rows)


def write(folder: Path, facts: Record, lines: list[Line], records: Records) -> None:
    """Write ``photos.json`` and ``photos.md``."""
    content = {"machine": facts, "table": [asdict(line) for line in lines], "rows": records.rows}
    for name, text in (
        ("photos.json", json.dumps(content, indent=1) + "\n"),
        ("photos.md", to_markdown(facts, lines)),
    ):
        with atomic_file(folder / name) as file:
            file.write(text.encode())


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table; write it where that is asked for."""
    parser = argparse.ArgumentParser("geolrm bench photos", description=__doc__)
    parser.add_argument(
        "--data", help="a folder of posed scans with depth images, as of geolrm eval"
    )
    parser.add_argument(
        "--photographs", type=Path,
        help="a folder of real photographs with poses and masks: images, sparse and masks",
    )  # fmt: skip
    parser.add_argument(
        "--without-poses", type=Path, help="a folder of real photographs, to be posed"
    )
    parser.add_argument("--objects", nargs="+", metavar="NAME", help="default: all of --data")
    parser.add_argument("--model", default="mini", help="'mini' or a bundle folder")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="two objects and the first rows")
    parser.add_argument(
        "--output", "-o", type=Path,
        help="folder of photos.json and photos.md; what rows.jsonl holds there is not done again",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not (options.data or options.photographs or options.without_poses):
        raise InputError(
            "there is nothing to measure: give --data, a folder of posed scans as geolrm eval "
            "takes it, --photographs or --without-poses"
        )
    engine = Engine(options.model, threads=options.threads)
    facts: Record = describe()
    shared = {"model": str(options.model), "geolrm": facts.get("geolrm")}
    path = None if options.output is None else options.output / "rows.jsonl"
    records = Records(path, shared)
    print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)

    def say(text: str) -> None:
        print(text, flush=True)

    lines: list[Line] = []
    if options.without_poses is not None:
        lines += measure_without_poses(options.without_poses, records, engine, say)
    if options.photographs is not None:
        lines += measure_photographs(options.photographs, records, engine, say)
    if options.data is not None:
        lines += measure_scans(
            options.data, objects=options.objects, quick=options.quick, records=records,
            engine=engine, say=say,
        )  # fmt: skip
    facts = {**facts, "load average": round(os.getloadavg()[0], 2)}
    print()
    for line in lines:
        print(line)
    if options.output is not None:
        write(options.output, facts, lines, records)


def _wrong_pose_text(row: Record) -> str:
    return (
        f"{row['views']} views off by {row['wrong']:g}: {row['off']:.2f} dB in "
        f"{row['off_seconds']:.1f} s, poses refined {row['on']:.2f} in {row['on_seconds']:.1f} s, "
        f"auto {'refines' if row['pays'] else 'leaves'} them ({row['residual']:.2f} px)"
    )
