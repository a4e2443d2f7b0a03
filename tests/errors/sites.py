"""Where the package raises errors of its own, and which of those places an exception came by."""

import ast
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("engine", "export", "fleet", "plugins", "training", "bench", "python/geolrm")
# For the interpreter, for a caller that catches it, or for whoever changes the code.
OTHERS = {"ValueError", "TypeError", "OSError", "NotADirectoryError", "KeyboardInterrupt",
          "SystemExit", "NotRun", "AttributeError", "BufferError", "FileNotFoundError", "TryAgain",
          "ClientDisconnect", "LostSessionError", "OverdueError", "WebSocketDisconnect",
          }  # fmt: skip

Site = tuple[str, int]  # a file, relative to the checkout, and the line of a raise


def raises() -> dict[Site, str]:
    """The source of whatever is raised for a user, by where it is."""
    found = {}
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and node.exc is not None and _is_own(node.exc):
                    found[str(file.relative_to(ROOT)), node.lineno] = ast.unparse(node.exc)
    return found


def _is_own(raised: ast.expr) -> bool:
    name = raised.func if isinstance(raised, ast.Call) else raised
    return not (isinstance(name, ast.Name) and name.id in OTHERS)


def sites_of(error: BaseException) -> set[Site]:
    """Where the error, and whatever it came from, was raised or passed."""
    found: set[Site] = set()
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        pending += [one.__cause__, one.__context__]
        for frame, line in traceback.walk_tb(one.__traceback__):
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT):
                found.add((str(file.relative_to(ROOT)), line))
    return found
