"""Files and functions stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.meta.sources import Module, modules, python_files

FILE_LIMIT = 500
FUNCTION_LIMIT = 60

# Path → (lines allowed, why). Raise a limit only with a reason a newcomer would accept.
LONG_FILES: dict[str, tuple[int, str]] = {}
# "path::Class.function" → (lines allowed, why).
LONG_FUNCTIONS: dict[str, tuple[int, str]] = {}


def file_length(module: Module) -> int:
    return len(module.path.read_text(encoding="utf-8").splitlines())


def function_lengths(tree: ast.AST, scope: str = "") -> Iterator[tuple[str, int]]:
    """Each function's qualified name and its lines, the docstring not counted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from function_lengths(node, f"{scope}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{scope}{node.name}", code_lines(node)
            yield from function_lengths(node, f"{scope}{node.name}.")
        else:
            yield from function_lengths(node, scope)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("module", python_files(), ids=lambda module: module.relative)
def test_file_is_short(module: Module) -> None:
    """At most 500 lines, or the length that its listed exception grants."""
    allowed, _ = LONG_FILES.get(module.relative, (FILE_LIMIT, ""))
    assert file_length(module) <= allowed


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.relative)
def test_functions_are_short(module: Module) -> None:
    """At most 60 lines of code each, or the length that a listed exception grants."""
    too_long = [
        f"{name}: {lines} lines"
        for name, lines in function_lengths(module.tree)
        if lines > LONG_FUNCTIONS.get(f"{module.relative}::{name}", (FUNCTION_LIMIT, ""))[0]
    ]
    assert too_long == []


def test_exceptions_are_still_needed() -> None:
    """An exception whose file or function has become short, or is gone, is deleted."""
    files = {module.relative: file_length(module) for module in python_files()}
    functions = {
        f"{module.relative}::{name}": lines
        for module in modules()
        for name, lines in function_lengths(module.tree)
    }
    stale = [path for path in LONG_FILES if files.get(path, 0) <= FILE_LIMIT]
    stale += [name for name in LONG_FUNCTIONS if functions.get(name, 0) <= FUNCTION_LIMIT]
    assert stale == []


def test_lengths_leave_docstrings_out_and_see_nested_functions() -> None:
    """The count itself: code lines of functions, methods and functions inside functions."""
    source = '''
class A:
    def method(self):
        """One.

        Two.
        """
        def inner():
            return 1
        return inner
'''
    assert dict(function_lengths(ast.parse(source))) == {"A.method": 4, "A.method.inner": 2}
