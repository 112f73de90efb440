"""Methods of `Tensor` before their first use: nobody can tell that they are not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import backlit
from backlit.core.methods import TensorMethods
from backlit.ops.bind import Later


@pytest.fixture(autouse=True)
def nothing_used_yet() -> Iterator[None]:
    """These attributes of `Tensor` are as they are right after the import."""
    names = ("T", "grad", "relu", "add_", "__add__", "__radd__", "__iadd__", "__lt__", "__neg__")
    for name in names:
        setattr(TensorMethods, name, Later(name))
    yield
    for name in names:
        getattr(TensorMethods, name)


def test_first_use_binds_what_the_name_means() -> None:
    """Ops, in-place variants and properties work, and take the place of what stood there."""
    t = backlit.tensor([[1.0, -2.0]])
    assert t.relu().tolist() == [[1.0, 0.0]]
    assert t.T.tolist() == [[1.0], [-2.0]]
    assert t.add_(1) is t
    found = [vars(TensorMethods)[name] for name in ("relu", "T", "add_")]
    assert not any(isinstance(x, Later) for x in found)
    assert found[0] is backlit.relu


def test_operators_work_at_first_use() -> None:
    """Python finds an operator on either side, in place, and with one operand."""
    t = backlit.tensor([1.0, -2.0])
    assert (t + 1).tolist() == [2.0, -1.0]
    assert (1 + t).tolist() == [2.0, -1.0]
    assert (t < 0).tolist() == [False, True]
    assert (-t).tolist() == [-1.0, 2.0]
    t += 1
    assert t.tolist() == [2.0, -1.0]


def test_class_has_the_function_itself() -> None:
    """Looked up on the class, a method is a function and a property a property."""
    assert backlit.Tensor.relu is backlit.relu
    assert isinstance(backlit.Tensor.T, property)


def test_property_is_set_and_deleted_as_a_property() -> None:
    """The first use may be an assignment; what cannot be deleted says so."""
    t = backlit.tensor([1.0], requires_grad=True)
    t.grad = backlit.tensor([3.0])
    assert "grad" not in vars(t)
    assert t.grad.tolist() == [3.0]
    setattr(TensorMethods, "grad", Later("grad"))  # noqa: B010 - as at the import
    with pytest.raises(AttributeError):
        del t.grad


def test_a_method_of_the_same_name_on_the_object_wins() -> None:
    """As with any method, an attribute of the instance hides it, and goes away again."""
    t: Any = backlit.tensor([1.0])
    t.relu = len
    assert t.relu is len
    del t.relu
    assert t.relu().tolist() == [1.0]


def test_super_finds_the_method_of_tensor() -> None:
    """An overriding method may call the one that it overrides, before anybody else has."""

    class Loud(backlit.Tensor):
        def relu(self) -> Any:
            return super().relu() + 100

    t: Any = backlit.tensor([-1.0, 1.0])
    loud = object.__new__(Loud)
    for name in ("_era", "_var", "_data", "_x"):
        setattr(loud, name, getattr(t, name))
    assert loud.relu().tolist() == [100.0, 101.0]
