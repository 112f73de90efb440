"""Parameters and buffers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.errors import DtypeError, ShapeError
from backlit.nn.parameter import is_lazy, new_parameter


def test_parameter_requires_grad_and_is_a_leaf_even_of_a_computed_tensor() -> None:
    """What a parameter was computed from is forgotten."""
    x = backlit.tensor([1.0, 2.0], requires_grad=True)
    p = nn.Parameter(x * 3)
    assert p.requires_grad
    assert p.is_leaf
    (p * p).sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == [6.0, 12.0]
    assert x.grad is None


def test_parameter_does_not_copy() -> None:
    """It holds the very memory it was given."""
    array = np.ones(3, np.float32)
    p = nn.Parameter(backlit.from_numpy(array), requires_grad=False)
    array[0] = 5
    assert p.tolist() == [5.0, 1.0, 1.0]


def test_parameter_of_nothing_is_empty() -> None:
    """PyTorch's default."""
    assert tuple(nn.Parameter().shape) == (0,)


def test_parameter_text() -> None:
    """It says that it is one."""
    assert repr(nn.Parameter(backlit.tensor([1.0]))) == (
        "Parameter containing:\ntensor([1.], requires_grad=True)"
    )


def test_parameter_survives_copy_and_pickle() -> None:
    """Class, values and requires_grad stay; memory is not shared."""
    p = nn.Parameter(backlit.tensor([1.0, 2.0]), requires_grad=False)
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is nn.Parameter
        assert other.tolist() == [1.0, 2.0]
        assert not other.requires_grad
        assert other is not p


def test_parameter_of_something_else_is_refused() -> None:
    """The message says how to make a tensor."""
    with pytest.raises(TypeError) as error:
        nn.Parameter([1.0])  # type: ignore[arg-type]
    assert str(error.value) == (
        "Parameter(): argument 'data' must be Tensor, not list; make one with backlit.tensor(data)."
    )


def test_integer_parameter_cannot_require_grad() -> None:
    """Only floating-point numbers have gradients."""
    with pytest.raises(DtypeError) as error:
        nn.Parameter(backlit.tensor([1]))
    assert str(error.value) == (
        "only Tensors of floating point dtype can require gradients, got int64; use .float() "
        "first, or requires_grad=False."
    )
    assert nn.Parameter(backlit.tensor([1]), requires_grad=False).tolist() == [1]


def test_buffer_knows_whether_it_is_saved() -> None:
    """Buffers need no gradient unless they are given one."""
    b = nn.Buffer(backlit.tensor([1.0]), persistent=False)
    assert not b.persistent
    assert not b.requires_grad


def test_uninitialized_parameter_has_no_shape_until_it_is_materialized() -> None:
    """Looking at the shape says what to do."""
    p = nn.UninitializedParameter(dtype=backlit.float64)
    assert is_lazy(p)
    assert repr(p) == "<UninitializedParameter>"
    with pytest.raises(ShapeError) as error:
        _ = p.shape
    assert str(error.value) == (
        "Can't access the shape of an uninitialized parameter or buffer. This error usually "
        "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
        "initialized one. Call `forward` once to initialize the parameters of lazy modules."
    )
    p.materialize((2, 3))
    assert type(p) is nn.Parameter
    assert p.dtype is backlit.float64
    assert p.requires_grad
    assert p.tolist() == [[0.0] * 3] * 2


def test_uninitialized_tensors_survive_copy_and_pickle() -> None:
    """They stay without a shape."""
    for t in (nn.UninitializedParameter(), nn.UninitializedBuffer()):
        for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
            assert type(other) is type(t)
            assert is_lazy(other)
            assert other.requires_grad == t.requires_grad


def test_new_parameter_is_filled_and_on_the_cpu() -> None:
    """Other devices are refused."""
    assert new_parameter((2,), "cpu", backlit.float64, fill=3).tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        new_parameter((2,), "cuda")


def test_new_parameter_refuses_negative_sizes() -> None:
    """PyTorch's message."""
    with pytest.raises(ShapeError) as error:
        nn.Linear(3, -2)
    assert str(error.value) == "Trying to create tensor with negative dimension -2: [-2, 3]"
