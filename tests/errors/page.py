"""docs/errors.md is written from the cases: ``python tests/errors/page.py``."""

import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
INTRODUCTION = """# Errors

Every error is one sentence that names the value, the rule and the remedy; `…` stands for what it
quotes. On the command line it follows `error: ` on standard error, and the exit code is 2 for bad
input and 1 for the rest (no such package, no surface, out of memory); 130 after an interrupt. In
Python they are `InputError`, `BundleError` and `CheckpointError`, all of them `GeoLRMError`.

Not every message stands here yet: those of GPU builds and some of training and export are missing.

Each message below is brought about by the tests, which hold this page against `tests/errors/`: to
add one, add a `Case` to the list of its group there and run `python tests/errors/page.py`.
"""


def groups():
    """Titles and cases, in the order of the page."""
    from errors import (
        bundles,
        cameras,
        captures,
        commands,
        evaluation,
        formats,
        gpus,
        images,
        training,
    )

    return {
        "Captures": captures.CASES,
        "Cameras": cameras.CASES,
        "Images and engine arguments": images.CASES,
        "Bundles": bundles.CASES,
        "GPUs": gpus.CASES,
        "Splat files, meshes and pages": formats.CASES,
        "Options of commands": commands.CASES,
        "Export and training": training.CASES,
        "Evaluation": evaluation.CASES,
    }


def text():
    parts = [INTRODUCTION]
    for title, cases in groups().items():
        rows = [f"| {_cell(case.message)} | {_cell(case.meaning)} |" for case in cases]
        parts.append("\n".join([f"## {title}\n", "| message | meaning |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def _cell(sentence):
    return sentence.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    PAGE.write_text(text(), encoding="utf-8")
