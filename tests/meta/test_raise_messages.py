"""Every error message of the package is tested: its words occur in a test or in a card's samples.

A message's longest fixed piece stands for the message. Those that no test mentions are listed in
`untested_raises.txt`, which only shrinks; `python -m tests.meta.test_raise_messages` rewrites it.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.meta.sources import TESTS, constants, modules, python_files

LIST = Path(__file__).with_name("untested_raises.txt")
HEADER = """\
# Error messages that no test mentions yet, as `file: longest fixed piece`. This list only shrinks:
# test the message, then run `python -m tests.meta.test_raise_messages`.
"""
# A shorter piece would be found anywhere by accident.
SHORTEST = 6
# Raised without a message as part of a Python protocol.
WORDLESS = {"StopIteration", "StopAsyncIteration", "KeyboardInterrupt"}


@functools.cache
def exception_names() -> frozenset[str]:
    """Python's own exception classes and those that the package defines in `errors`."""
    own = [
        node.name
        for module in modules()
        if module.name == "backlit.errors"
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    ]
    return frozenset(own) | {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }


def called_name(node: ast.AST) -> str:
    """Last part of the name that is called: `ShapeError` in `errors.ShapeError(...)`."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def messages(tree: ast.AST) -> Iterator[str]:
    """The longest fixed piece of every error that is built or raised in a piece of code.

    Errors that are built in one place and raised in another count where they are built. A message
    put together in a variable of the same function is followed to its pieces.
    """
    for node, function in nodes_with_function(tree):
        if called_name(node) in exception_names():
            assert isinstance(node, ast.Call)
            yield longest_piece(node, function)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
            name = node.exc.id
            if name in exception_names() - WORDLESS:
                yield f"(raise {name} without a message)"


def nodes_with_function(
    tree: ast.AST, function: ast.AST | None = None
) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each node below `tree` together with the innermost function around it."""
    function = tree if function is None else function
    for child in ast.iter_child_nodes(tree):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield child, function
        yield from nodes_with_function(child, child if is_function else function)


def longest_piece(call: ast.Call, function: ast.AST) -> str:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    pieces = [piece.strip() for argument in arguments for piece in constants(argument)]
    if max(map(len, pieces), default=0) < SHORTEST:
        names = {node.id for a in arguments for node in ast.walk(a) if isinstance(node, ast.Name)}
        pieces += [
            piece.strip() for value in assigned(names, function) for piece in constants(value)
        ]
    piece = max(pieces, key=len, default="")
    # A line of the list holds the piece; line breaks inside a message end it.
    piece = max(piece.splitlines(), key=len, default="")
    return piece if len(piece) >= SHORTEST else f"({ast.unparse(call)})".replace("\n", " ")


def assigned(names: set[str], function: ast.AST) -> Iterator[ast.AST]:
    """Values that a function assigns to, adds to or appends to variables of these names."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            targets: Iterable[ast.AST] = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id in names for target in targets):
            assert node.value is not None
            yield node.value


def plain(text: str) -> str:
    """A text without the backslashes and line breaks that a regular expression or a test adds."""
    return " ".join(text.replace("\\", "").split())


@functools.cache
def strings_of_tests() -> str:
    """Every string of the tests (this folder's apart), and of the cards' error samples."""
    strings = [
        string
        for file in python_files()
        if TESTS in file.path.parents and Path(__file__).parent not in file.path.parents
        for string in constants(file.tree)
    ]
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword) and node.arg == "errors":
                strings += constants(node.value)
    return "\n".join(plain(string) for string in strings)


def untested() -> list[str]:
    """One line per message whose longest fixed piece no test mentions, in order."""
    lines = {
        f"{module.relative}: {piece}"
        for module in modules()
        for piece in messages(module.tree)
        if plain(piece) not in strings_of_tests()
    }
    return sorted(lines)


def listed() -> list[str]:
    text = LIST.read_text(encoding="utf-8") if LIST.exists() else ""
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_no_new_message_is_untested() -> None:
    """Whoever adds an error adds the test of its text."""
    assert [line for line in untested() if line not in listed()] == []


def test_list_holds_nothing_that_is_tested_or_gone() -> None:
    """The list shrinks as messages are tested, and is kept in order."""
    assert [line for line in listed() if line not in untested()] == []
    assert listed() == sorted(set(listed()))


def test_which_piece_stands_for_a_message() -> None:
    """Literals, f-strings, variables, errors built for a later raise, and missing messages."""
    source = """
def check(x, n):
    if n < 0:
        raise ValueError(f"check: n is {n}; it must be 0 or more.")
    if n == 1:
        raise TypeError("check: x is "
                        f"{x}, not a number")
    message = f"{x} is far too large"
    message += "!"
    if n == 2:
        raise OverflowError(message)
    if n == 3:
        raise RuntimeError
    try:
        pass
    except KeyError as error:
        raise
    return IndexError(f"{n} is outside")
"""
    assert list(messages(ast.parse(source))) == [
        "; it must be 0 or more.",
        ", not a number",
        "is far too large",
        "(raise RuntimeError without a message)",
        "is outside",
    ]


def test_escapes_of_regular_expressions_do_not_hide_a_message() -> None:
    """`match=r"sizes \\(2, 3\\)"` mentions the message "sizes (2, 3)"."""
    assert plain(r"sizes \(2, 3\)\.") == "sizes (2, 3)."


if __name__ == "__main__":
    LIST.write_text(HEADER + "".join(f"{line}\n" for line in untested()), encoding="utf-8")
