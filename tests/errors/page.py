"""docs/errors.md is written from the cases: ``python tests/errors/page.py``."""

import sys
from itertools import groupby
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
INTRODUCTION = """# Errors

Every error is one sentence: the value, the rule, and the remedy. `…` stands for what it quotes. The
second column says what it comes of, and what to do where the sentence itself does not say it all.

| where | what comes |
|---|---|
| on the command line | the sentence after `error: ` on standard error; exit code 2 for bad input, 1 for the rest (a missing package, no surface, out of memory), 130 after an interrupt |
| in Python | `InputError`, `BundleError`, `CheckpointError` or `VerificationError`, all of them `GeoLRMError` |

The tests bring about each of these {count} messages, and find every place of the code that raises
one and is not among them (`tests/errors/`). To add one, add a `Case` to the list of its group there
and run `python tests/errors/page.py`.

{contents}
"""  # noqa: E501


def lists():
    """Titles and lists of cases with sub-titles between them, in the order of the page."""
    from errors import (
        bundles,
        cameras,
        captures,
        commands,
        evaluation,
        exporting,
        formats,
        gpu,
        images,
        rendering,
        training,
        training_data,
    )

    return {
        "Captures": captures.CASES,
        "Cameras": cameras.CASES,
        "Images and engine arguments": images.CASES,
        "Bundles": bundles.CASES,
        "Splat files, meshes and pages": formats.CASES,
        "Rendering": rendering.CASES,
        "Options of commands": commands.CASES,
        "Evaluation": evaluation.CASES,
        "GPUs": gpu.CASES,
        "Export": exporting.CASES,
        "Training": training.CASES,
        "Training data": training_data.CASES,
    }


def groups():
    """Titles and cases, in the order of the page."""
    return {title: [c for c in entries if not isinstance(c, str)]
            for title, entries in lists().items()}  # fmt: skip


def text():
    cases = groups()
    contents = " · ".join(f"[{title}](#{_anchor(title)})" for title in cases)
    parts = [INTRODUCTION.format(count=sum(map(len, cases.values())), contents=contents)]
    for title, entries in lists().items():
        parts.append(f"## {title}\n")
        for is_title, run in groupby(entries, key=lambda entry: isinstance(entry, str)):
            entries_of_run = list(run)
            parts += (
                [f"### {e}\n" for e in entries_of_run] if is_title else [_table(entries_of_run)]
            )
    return "\n".join(parts)


def _table(cases):
    rows = [f"| {_cell(case.message)} | {_cell(case.meaning)} |" for case in cases]
    return "\n".join(["| message | cause, and what to do |", "|---|---|", *rows, ""])


def _anchor(title):
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _cell(sentence):
    return sentence.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    PAGE.write_text(text(), encoding="utf-8")
