"""Read docstrings as they are written here, for the reference: a griffe extension."""

import ast
import re
from typing import Any

import griffe

COMMENT = re.compile(r"#\s+(?!noqa|pyright|type:|fmt:)(?P<text>.+)$")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?(?P<name>[^`]+)`")


class Docstrings(griffe.Extension):
    """Show the comment behind a field, which states its shape, and resolve Sphinx's roles."""

    def on_attribute_instance(
        self, *, node: ast.AST | griffe.ObjectNode, attr: griffe.Attribute, **_: Any
    ) -> None:
        """Take the end of the line that declares a field as its docstring (called by griffe)."""
        if not isinstance(node, ast.AnnAssign) or attr.docstring or not attr.lines:
            return
        comment = COMMENT.search(attr.lines[-1])
        if comment and attr.parent and attr.parent.is_class:
            attr.docstring = griffe.Docstring(comment["text"], parent=attr)

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn roles into links, where the reference has their target (called by griffe)."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(_link, obj.docstring.value)


def _link(role: re.Match[str]) -> str:
    name = role["name"]
    return f'<autoref identifier="{name}" optional>`{name}`</autoref>'
