"""What modules offer: `__all__` is in order and true; every module says what it is for."""

from __future__ import annotations

import ast
import importlib
import tomllib

import pytest

from tests.meta.sources import ROOT, Module, imported_or_skip, modules

IDS = [module.name for module in modules()]


def offers_names(module: Module) -> bool:
    return any(
        isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        and "__all__" in ast.unparse(node).split("=")[0]
        for node in module.tree.body
    )


@pytest.mark.parametrize("module", modules(), ids=IDS)
def test_all_is_sorted_and_every_name_exists(module: Module) -> None:
    """Plain order, no duplicates, nothing private, nothing that is not there."""
    if not offers_names(module):
        return  # nothing promised
    imported = imported_or_skip(module.name)
    names = list(imported.__all__)
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(imported, name)] == []
    assert [n for n in names if n.startswith("_") and not n.endswith("__")] == []


@pytest.mark.parametrize("module", modules(), ids=IDS)
def test_module_says_what_it_is_for(module: Module) -> None:
    """A module starts with a docstring; an `__init__` that holds nothing may be empty."""
    assert not module.tree.body or ast.get_docstring(module.tree)


def test_version_is_that_of_the_project() -> None:
    """`backlit.__version__` and pyproject.toml agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.import_module("backlit").__version__ == project["version"]
