"""The reference that is made of docstrings: nothing public is without one, and no name in them leads nowhere."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "keras_t2i"
FILES = sorted(PACKAGE.rglob("*.py"))
DEFINED = (ast.ClassDef, ast.FunctionDef)
named = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


@named
def test_everything_public_has_a_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    exported = {
        name.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "__all__"
        and isinstance(node.value, ast.List)
        for name in node.value.elts
        if isinstance(name, ast.Constant)
    }
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, DEFINED) and node.name in exported and not ast.get_docstring(node)
    ]
    assert not missing


def exists(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[depth:]:
            fields = getattr(found, "__dataclass_fields__", {})
            if not hasattr(found, attribute) and attribute not in fields:
                return False
            found = getattr(found, attribute, None)
        return True
    return False


@named
def test_no_name_in_a_docstring_leads_nowhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    names = set(re.findall(r"`(keras_t2i(?:\.\w+)+)[`(]", text))
    assert {name for name in names if not exists(name)} == set()
