"""Imports flow one way: a module imports from its own layer and from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.meta.sources import Module, modules

# From the bottom up. Units of one layer may import each other.
LAYERS = (
    ("errors", "config"),
    ("core",),
    ("ops", "autograd", "func", "functions", "linalg", "masked", "special"),
    ("compiler",),
    ("native",),
    ("nn",),
    ("optim", "data"),
    ("utils",),
    ("train", "insight", "interop", "distributed"),
    ("lab",),
    ("sklearn",),
    ("studio", "cli", "__main__"),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}

# Packages that only one folder may know; everything else goes through that folder.
HOME_OF = {
    "llvmlite": {"native"},
    "scipy_openblas32": {"native"},
    "torch": set[str](),
}


def is_for_typing(node: ast.AST) -> bool:
    """Whether this is an `if TYPE_CHECKING:` block, which never runs."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node: ast.AST, package: str, *, late: bool = True) -> Iterator[str]:
    """Dotted names a module of `package` imports when it runs; `late`: also inside functions.

    `from a import b` is given as `a.b`: b may be a module of a.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            # One dot is the package itself, each further dot the package around it.
            above = (
                package.split(".")[: package.count(".") + 2 - child.level] if child.level else []
            )
            origin = ".".join([*above, child.module] if child.module else above)
            yield from (f"{origin}.{alias.name}" for alias in child.names)
        elif is_for_typing(child):
            continue
        elif late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(child, package, late=late)


def unit_of(name: str) -> str:
    """The part of a dotted name that has a layer: "core" of `backlit.core.tensor`."""
    return (name.split(".") + ["", ""])[1]


def layer_violations(module: Module) -> list[str]:
    """One line per import that goes against the direction."""
    unit = unit_of(module.name)
    if not unit:
        return []  # the top-level package gathers the public names from everywhere
    if unit not in LEVEL:
        return [f"{module.relative}: {unit!r} has no layer; give it one in LAYERS"]
    found = []
    for name in imports(module.tree, module.package):
        if name.split(".")[0] != "backlit":
            continue
        target = unit_of(name)
        if target not in LEVEL:
            found.append(f"{module.relative}: imports {name}, which belongs to no layer")
        elif LEVEL[target] > LEVEL[unit]:
            found.append(f"{module.relative}: {unit} imports {name}, a layer above it")
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_no_import_points_upwards(module: Module) -> None:
    """errors, config → core → ops, autograd → … → studio, cli; late imports included."""
    assert layer_violations(module) == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_special_packages_stay_in_their_folder(module: Module) -> None:
    """Machine code is known to `native` only, and nothing depends on PyTorch."""
    packages = {name.split(".")[0] for name in imports(module.tree, module.package)}
    strays = {p for p in packages & HOME_OF.keys() if unit_of(module.name) not in HOME_OF[p]}
    assert strays == set()


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, or nothing."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                done.add(name)
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                stack.append((name, True))
                stack.extend((target, False) for target in sorted(graph[name]))
    return []


def import_graph() -> dict[str, set[str]]:
    """Which modules each module imports while it is itself being imported."""
    known = {module.name for module in modules()}
    graph: dict[str, set[str]] = {}
    for module in modules():
        names = set(imports(module.tree, module.package, late=False))
        # `from a import b` needs module a.b if there is one, else a.
        needed = {name if name in known else name.rpartition(".")[0] for name in names}
        graph[module.name] = needed & known - {module.name, "backlit"}
    return graph


def test_no_import_cycle() -> None:
    """No module needs, while it is being imported, one that needs it."""
    assert find_cycle(import_graph()) == []


def planted(name: str, source: str) -> Module:
    path = modules()[0].path.parent / "planted.py"
    return Module(path, name, ast.parse(source))


@pytest.mark.parametrize(
    "name, source, message",
    [
        ("backlit.core.x", "from backlit.nn import Linear", "core imports backlit.nn.Linear"),
        (
            "backlit.ops.x",
            "def f():\n    import backlit.train.fit",
            "ops imports backlit.train.fit",
        ),
        ("backlit.ops.x", "import backlit", "belongs to no layer"),
        ("backlit.core.x", "from .. import nn", "core imports backlit.nn"),
        ("backlit.core.x.y", "from ...nn.linear import Linear", "core imports backlit.nn.linear"),
        ("backlit.misc", "", "'misc' has no layer"),
    ],
)
def test_a_planted_violation_is_found(name: str, source: str, message: str) -> None:
    """The check can fail: upward, late, whole-package and relative imports are all seen."""
    (found,) = layer_violations(planted(name, source))
    assert message in found


def test_imports_for_typing_do_not_count() -> None:
    """Under TYPE_CHECKING nothing runs, so nothing can go round in a circle."""
    source = "if TYPE_CHECKING:\n    from backlit.nn import Module\n"
    assert layer_violations(planted("backlit.core.x", source)) == []


def test_a_planted_cycle_is_found() -> None:
    """The cycle is reported from the first module met twice."""
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": set[str](), "d": {"b"}}
    assert find_cycle(graph) == ["b", "d", "b"]
