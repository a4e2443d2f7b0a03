"""docs/errors/ is written from the cases, a page an area: ``python tests/errors/pages.py``."""

import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "errors"
INTRODUCTION = """# Errors

Every error is one sentence: the value, the rule, and the remedy. On these pages `…` stands for what it
quotes. The second column says what it comes of, and what to do where the sentence itself does not say it
all.

| where | what comes |
|---|---|
| on the command line | the sentence after `error: ` on standard error; exit code 2 for bad input, 1 for the rest (a missing package, no surface, out of memory), 130 after an interrupt, 143 and 129 after SIGTERM and SIGHUP, which end with no sentence |
| in Python | `InputError`, `BundleError`, `CheckpointError` or `VerificationError`, all of them `GeoLRMError` |

| area | messages |
|---|--:|
{contents}

The tests bring about each of these {count} messages, and find every place of the code that raises
one and is not among them (`tests/errors/`). To add one, add a `Case` to the list of its group there
and run `python tests/errors/pages.py`.
"""  # noqa: E501


@dataclass(frozen=True)
class Area:
    """One page."""

    title: str
    groups: dict[str, list]  # cases with sub-titles between them; a title of "" is not shown


def areas():
    """By the name of their page, in the order of the contents."""
    from errors import (
        archive_formats,
        bundles,
        cameras,
        captures,
        commands,
        evaluation,
        exporting,
        fleet,
        formats,
        gpu,
        gpu_benchmark,
        images,
        meshes,
        photographs,
        rendering,
        serving,
        training,
        training_data,
    )

    return {
        "captures": Area(
            "Captures, cameras and images",
            {
                "Captures": captures.CASES,
                "Cameras": cameras.CASES,
                "Images and engine arguments": images.CASES,
            },
        ),
        "photographs": Area("Photographs without poses", {"": photographs.CASES}),
        "rendering": Area("Rendering", {"": rendering.CASES}),
        "formats": Area(
            "Splat files, meshes and pages",
            {"": [*formats.CASES, *meshes.CASES, *archive_formats.CASES]},
        ),
        "bundles": Area("Bundles", {"": bundles.CASES}),
        "gpu": Area("GPUs", {"": gpu.CASES, "geolrm bench gpu": gpu_benchmark.CASES}),
        "commands": Area("Options of commands", {"": commands.CASES}),
        "serving": Area("Serving", {"": serving.CASES}),
        "evaluation": Area("Evaluation", {"": evaluation.CASES}),
        "export": Area("Export", {"": exporting.CASES}),
        "fleet": Area("Batches", {"": fleet.CASES}),
        "training": Area(
            "Training", {"Recipes and runs": training.CASES, "Data": training_data.CASES}
        ),
    }


def cases():
    """All of them, by the name of their page."""
    return {name: _cases_of(area) for name, area in areas().items()}


def texts():
    """The pages by the names of their files."""
    pages = {f"{name}.md": _page(area) for name, area in areas().items()}
    return {"index.md": _index(), **pages}


def _index():
    rows = [
        f"| [{area.title}]({name}.md) | {len(_cases_of(area))} |" for name, area in areas().items()
    ]
    count = sum(map(len, cases().values()))
    return INTRODUCTION.format(contents="\n".join(rows), count=count)


def _page(area):
    parts = [f"# {area.title}\n", "[How to read these tables](index.md).\n"]
    for title, entries in area.groups.items():
        parts += [f"## {title}\n"] if title else []
        for is_subtitle, entries_of_run in groupby(entries, key=_is_subtitle):
            run = list(entries_of_run)
            level = "###" if title else "##"
            parts += [f"{level} {entry}\n" for entry in run] if is_subtitle else [_table(run)]
    return "\n".join(parts)


def _table(run):
    rows = [f"| {_cell(case.message)} | {_cell(case.meaning)} |" for case in run]
    return "\n".join(["| message | cause, and what to do |", "|---|---|", *rows, ""])


def _cases_of(area):
    return [entry for entries in area.groups.values() for entry in entries
            if not _is_subtitle(entry)]  # fmt: skip


def _is_subtitle(entry):
    return isinstance(entry, str)


def _cell(sentence):
    return sentence.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
