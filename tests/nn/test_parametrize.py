"""Parametrized tensors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError
from backlit.nn.utils import parametrize
from backlit.nn.utils.parametrizations import weight_norm


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Double(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2

    def right_inverse(self, x: Any) -> Any:
        return x / 2


def test_a_parametrized_weight_is_computed_from_its_original() -> None:
    """The layer uses it, the optimizer sees the original, gradients reach it."""
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().numpy().copy()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    w = layer.weight.detach().numpy()
    assert (w == w.T).all()
    assert (np.triu(w) == np.triu(before)).all()
    assert isinstance(layer, nn.Linear)
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["bias", "parametrizations.weight.original"]
    layer(backlit.ones(1, 3)).sum().backward()
    g = layer.parametrizations.weight.original.grad
    assert g is not None
    assert g.tolist() == [[1.0, 2.0, 2.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]


def test_assignment_goes_through_the_right_inverse() -> None:
    """Also when a parameter is assigned."""
    layer = parametrize.register_parametrization(nn.Linear(2, 2, bias=False), "weight", Double())
    layer.weight = backlit.ones(2, 2)
    assert layer.weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert layer.parametrizations.weight.original.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    layer.weight = nn.Parameter(backlit.zeros(2, 2))
    assert layer.weight.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert [n for n, _ in layer.named_parameters()] == ["parametrizations.weight.original"]


def test_parametrizations_are_applied_one_after_the_other() -> None:
    """And removed together, leaving the value or the original."""
    layer = nn.Linear(2, 2)
    start = layer.weight.detach().numpy().copy()
    parametrize.register_parametrization(layer, "weight", Double())
    assert np.allclose(layer.weight.detach().numpy(), start)
    parametrize.register_parametrization(layer, "weight", Double())
    assert np.allclose(layer.weight.detach().numpy(), 2 * start)
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert not parametrize.is_parametrized(layer)
    assert isinstance(layer.weight, nn.Parameter)
    assert np.allclose(layer.weight.detach().numpy(), 2 * start)
    assert parametrize.is_parametrized(other, "weight")
    parametrize.remove_parametrizations(other, "weight", leave_parametrized=False)
    assert np.allclose(other.weight.detach().numpy(), start / 2)


def test_buffers_can_be_parametrized() -> None:
    """They stay buffers."""
    m = nn.BatchNorm1d(2)
    parametrize.register_parametrization(m, "running_var", Double())
    assert "parametrizations.running_var.original" in dict(m.named_buffers())
    parametrize.remove_parametrizations(m, "running_var")
    assert m.running_var is not None
    assert m.running_var.tolist() == [1.0, 1.0]
    assert "running_var" in dict(m.named_buffers())


def test_cached_computes_once() -> None:
    """Inside the context the same tensor is returned."""
    calls: list[int] = []

    class Count(nn.Module):
        def forward(self, x: Any) -> Any:
            calls.append(1)
            return x

    layer = parametrize.register_parametrization(nn.Linear(1, 1), "weight", Count())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert len(calls) == 1
    _ = (layer.weight, layer.weight)
    assert len(calls) == 3


def test_weight_norm_separates_length_and_direction() -> None:
    """The weight is unchanged at first; v's length does not matter."""
    layer = nn.Linear(3, 2)
    w = layer.weight.detach().numpy().copy()
    weight_norm(layer)
    assert np.allclose(layer.weight.detach().numpy(), w, atol=1e-6)
    g, v = (getattr(layer.parametrizations.weight, f"original{i}") for i in (0, 1))
    assert np.allclose(g.detach().numpy()[:, 0], np.linalg.norm(w, axis=1))
    with backlit.no_grad():
        v.mul_(5)
        g.mul_(2)
    assert np.allclose(layer.weight.detach().numpy(), 2 * w, atol=1e-5)
    whole = weight_norm(nn.Linear(3, 2), dim=None)
    assert tuple(whole.parametrizations.weight.original0.shape) == ()
    with pytest.raises(ValueError) as error:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert str(error.value) == (
        "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in "
        "terms of a sequence of tensors."
    )


def test_what_parametrize_refuses() -> None:
    """Unknown names, other shapes, assignment without inverse, pickling."""
    with pytest.raises(ValueError) as unknown:
        parametrize.register_parametrization(nn.Identity(), "weight", Double())
    assert str(unknown.value) == (
        "Module 'Identity()' does not have a parameter, a buffer, or a parametrized element with "
        "name 'weight'"
    )
    with pytest.raises(ValueError) as absent:
        parametrize.remove_parametrizations(nn.Identity(), "weight")
    assert str(absent.value) == "Module Identity() does not have a parametrization on weight"
    with pytest.raises(ArgumentError) as shape:
        parametrize.register_parametrization(nn.Linear(2, 3), "weight", nn.Flatten(0))
    assert str(shape.value) == (
        "Registering a parametrization may not change the shape of the tensor, unless `unsafe` "
        "flag is enabled: it was (3, 2) and would be (6,)."
    )
    layer = parametrize.register_parametrization(nn.Linear(1, 1), "weight", nn.ReLU())
    with pytest.raises(ArgumentError) as inverse:
        layer.weight = backlit.ones(1, 1)
    assert str(inverse.value) == (
        "parametrization ReLU does not implement right_inverse, so the tensor cannot be assigned."
    )
    with pytest.raises(ArgumentError) as pickled:
        pickle.dumps(layer)
    assert str(pickled.value) == (
        "Serialization of parametrized modules is only supported through state_dict(); remove the "
        "parametrizations before pickling."
    )
