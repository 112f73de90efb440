"""Printed text equals PyTorch's, character for character, on random arrays and options."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backlit.core.printing import PrintOptions, tensor_repr

torch = pytest.importorskip("torch")

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
OPTIONS = st.builds(
    PrintOptions,
    precision=st.integers(0, 8),
    threshold=st.sampled_from([0, 5, 20, 1000]),
    edgeitems=st.integers(0, 4),
    linewidth=st.sampled_from([20, 40, 80, 120]),
    sci_mode=st.sampled_from([None, True, False]),
)


@st.composite
def float_arrays(draw: st.DrawFn) -> NDArray[Any]:
    """Values of one scale, or spread over many, or whole numbers, salted with special ones."""
    shape = draw(SHAPES)
    scale = 10.0 ** draw(st.integers(-7, 9))
    elements = st.one_of(
        st.floats(-scale, scale, width=64),
        st.integers(-20, 20).map(float),
        st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf]),
    )
    return draw(arrays.arrays(np.float64, shape, elements=elements, fill=st.nothing()))


def torch_text(tensor: Any, options: PrintOptions) -> str:
    before = torch._tensor_str.get_printoptions()
    torch.set_printoptions(
        precision=options.precision,
        threshold=options.threshold,
        edgeitems=options.edgeitems,
        linewidth=options.linewidth,
        sci_mode=options.sci_mode,
    )
    try:
        return repr(tensor)
    finally:
        torch.set_printoptions(**before)


def to_numpy(tensor: Any) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:
        bits: NDArray[Any] = tensor.detach().view(torch.uint16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    values: NDArray[Any] = tensor.detach().numpy()
    return values


def our_text(tensor: Any, options: PrintOptions) -> str:
    return tensor_repr(
        to_numpy(tensor),
        dtype_name=str(tensor.dtype),
        default_float_dtype_name=str(torch.get_default_dtype()),
        requires_grad=tensor.requires_grad,
        grad_fn_name=type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None,
        options=options,
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@given(values=float_arrays(), options=OPTIONS, grad=st.sampled_from(["none", "leaf", "result"]))
def test_floats(dtype: str, values: NDArray[Any], options: PrintOptions, grad: str) -> None:
    """Any float tensor, whether without gradient, leaf or result, prints as in PyTorch."""
    tensor = torch.tensor(values).to(getattr(torch, dtype))
    if grad != "none":
        tensor.requires_grad_()
    if grad == "result":
        tensor = tensor + 0
    assert our_text(tensor, options) == torch_text(tensor, options)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
@given(data=st.data(), options=OPTIONS)
def test_integers_and_booleans(dtype: str, data: st.DataObject, options: PrintOptions) -> None:
    """Any integer or boolean tensor prints as in PyTorch."""
    values = data.draw(arrays.arrays(np.dtype(dtype), SHAPES))
    tensor = torch.tensor(values)
    assert our_text(tensor, options) == torch_text(tensor, options)
