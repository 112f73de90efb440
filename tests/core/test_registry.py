"""Registries: names are known before their modules are imported, which happens at the first use."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

import backlit
from backlit.core.registry import METHODS, PUBLIC, Family, Registry, imported_late


@pytest.fixture
def registry() -> Iterator[Registry[int]]:
    """A registry in which ``a`` and ``b`` are defined by a module already imported."""
    name = "backlit.core.test_registry_home"
    sys.modules[name] = types.ModuleType(name)
    made: Registry[int] = Registry("core.test_registry_home: a b\n")
    made["a"] = 1
    yield made
    del sys.modules[name]


def test_a_name_is_known_before_it_is_defined(registry: Registry[int]) -> None:
    """Membership, order and length go by what is listed and what was defined besides."""
    registry["c"] = 3
    assert list(registry) == ["a", "b", "c"]
    assert len(registry) == 3
    assert "b" in registry
    assert "d" not in registry
    assert registry.defined == {"a": 1, "c": 3}


def test_a_name_that_nobody_defines_is_a_key_error(registry: Registry[int]) -> None:
    """Neither an unknown name nor one that its module does not define is found."""
    registry["b"] = 2
    del registry["b"]
    for name in ("b", "d"):
        with pytest.raises(KeyError):
            registry[name]


def test_looking_up_imports_the_module() -> None:
    """The value is what the module defined while it was imported."""
    assert PUBLIC["tanh"] is sys.modules["backlit.ops.mathematics_trig"].tanh
    assert isinstance(METHODS["T"], property)


def test_family_is_what_begins_with_its_prefix() -> None:
    """A module shows its family's names without the prefix, and none of those of other modules."""
    assert "norm" in Family("backlit.linalg", "linalg.").names
    assert [n for n in Family("backlit.functions").names if "." in n or n[0] == "_"] == []


def test_unknown_name_of_a_family_raises() -> None:
    """The message is Python's own."""
    with pytest.raises(AttributeError) as caught:
        _ = backlit.linalg.nrm
    assert str(caught.value) == "module 'backlit.linalg' has no attribute 'nrm'"


def test_late_name_is_a_module_or_what_a_module_defines() -> None:
    """A name whose home bears its own name is that module; every other is taken from its home."""
    module = types.ModuleType("backlit.autograd")
    look_up = imported_late(
        "backlit.autograd",
        {"functional": "backlit.autograd.functional", "grad": "backlit.autograd.gradients"},
    )
    assert look_up("functional") is sys.modules["backlit.autograd.functional"]
    assert look_up("grad") is backlit.autograd.grad
    assert not hasattr(module, "grad")


def test_unknown_late_name_raises() -> None:
    """The message is Python's own."""
    with pytest.raises(AttributeError) as caught:
        _ = backlit.autograd.gradient
    assert str(caught.value) == "module 'backlit.autograd' has no attribute 'gradient'"


@pytest.mark.parametrize(
    "module", [backlit.autograd, backlit.functions, backlit.linalg, backlit.nn.functional]
)
def test_dir_shows_the_public_names(module: types.ModuleType) -> None:
    """Also those that have not been imported yet."""
    assert dir(module) == sorted(module.__all__)
