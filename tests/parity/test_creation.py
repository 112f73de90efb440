"""Creation functions give PyTorch's values, dtypes and errors, and share memory where it does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

Make = Callable[[Any], Any]


def like(m: Any) -> Any:
    """A tensor to make others like."""
    return m.tensor([[1, 2, 3]], dtype=m.int32)


MADE: dict[str, Make] = {
    "int": lambda m: m.tensor(3),
    "float": lambda m: m.tensor(2.5),
    "bool": lambda m: m.tensor(True),
    "nested": lambda m: m.tensor([[1, 2], [3, 4]]),
    "mixed": lambda m: m.tensor([1, 2.5, True]),
    "empty_list": lambda m: m.tensor([]),
    "empty_rows": lambda m: m.tensor([[], []]),
    "numpy_scalar": lambda m: m.tensor(np.float64(1.5)),
    "numpy_scalars": lambda m: m.tensor([np.int32(1), np.int32(2)]),
    "array": lambda m: m.tensor(np.arange(3, dtype=np.int16)),
    "tensors": lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]),
    "dtype": lambda m: m.tensor([1.7, -1.7], dtype=m.int64),
    "zeros": lambda m: m.zeros(2, 3),
    "zeros_tuple": lambda m: m.zeros((2, 3), dtype=m.float64),
    "zeros_size": lambda m: m.zeros(size=(2,)),
    "zeros_scalar": lambda m: m.zeros(()),
    "ones": lambda m: m.ones(2, dtype=m.bool),
    "full": lambda m: m.full((2, 2), 7),
    "full_float": lambda m: m.full((2,), 1.5),
    "full_bool": lambda m: m.full((2,), True),
    "zeros_like": lambda m: m.zeros_like(like(m)),
    "ones_like": lambda m: m.ones_like(like(m), dtype=m.float32),
    "full_like": lambda m: m.full_like(like(m), 3),
    "new_zeros": lambda m: like(m).new_zeros(2, 2),
    "new_ones": lambda m: like(m).new_ones((2,)),
    "new_full": lambda m: like(m).new_full((2,), 5),
    "new_tensor": lambda m: like(m).new_tensor([1.5, 2.5]),
    "arange": lambda m: m.arange(5),
    "arange_step": lambda m: m.arange(1, 10, 3),
    "arange_float": lambda m: m.arange(0, 1, 0.25),
    "arange_down": lambda m: m.arange(5, 0, -2),
    "arange_dtype": lambda m: m.arange(3, dtype=m.float64),
    "linspace": lambda m: m.linspace(-1, 1, 5),
    "linspace_one": lambda m: m.linspace(2, 5, 1),
    "logspace": lambda m: m.logspace(0, 2, 3, dtype=m.float64),
    "eye": lambda m: m.eye(2, 3),
    "tril_indices": lambda m: m.tril_indices(3, 4, 1),
    "triu_indices": lambda m: m.triu_indices(3, 3, -1),
    "scalar_tensor": lambda m: m.scalar_tensor(4),
    "legacy": lambda m: m.Tensor([1, 2]),
    "legacy_long": lambda m: m.LongTensor([1, 2]),
    "type_as": lambda m: m.ones(2).type_as(like(m)),
    "type": lambda m: m.ones(2).type(m.DoubleTensor),
}


@pytest.mark.parametrize("name", MADE)
def test_value_and_dtype_agree(name: str) -> None:
    """Values, shape and dtype are PyTorch's."""
    found, expected = MADE[name](backlit), MADE[name](torch)
    assert str(found.dtype).split(".")[1] == str(expected.dtype).split(".")[1]
    assert tuple(found.shape) == tuple(expected.shape)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


REFUSED: dict[str, Make] = {
    "ragged": lambda m: m.tensor([[1, 2], [3]]),
    "text": lambda m: m.tensor("a"),
    "text_inside": lambda m: m.tensor([1, "a"]),
    "none": lambda m: m.tensor(None),
    "arange_direction": lambda m: m.arange(0, 5, -1),
    "arange_zero": lambda m: m.arange(0, 5, 0),
    "negative": lambda m: m.zeros(-1),
    "float_size": lambda m: m.ones(2.5),
    "text_size": lambda m: m.zeros("a"),
    "eye": lambda m: m.eye(-1),
    "linspace": lambda m: m.linspace(0, 1, -1),
    "full_none": lambda m: m.full((2,), None),
    "device": lambda m: m.zeros(2, device="nowhere"),
    "from_numpy_list": lambda m: m.from_numpy([1]),
    "from_numpy_negative": lambda m: m.from_numpy(np.arange(3)[::-1]),
    "resize_grad": lambda m: m.ones(2, requires_grad=True).resize_(3),
    "integer_grad": lambda m: m.tensor([1], requires_grad=True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_agree(name: str) -> None:
    """What PyTorch refuses is refused, with an exception that catches as the same class."""
    with pytest.raises(Exception) as expected:
        REFUSED[name](torch)
    kinds = (TypeError, ValueError, IndexError, RuntimeError)
    with pytest.raises(next(k for k in kinds if isinstance(expected.value, k))):
        REFUSED[name](backlit)


def test_memory_is_shared_where_torch_shares_it() -> None:
    """`from_numpy`, `as_tensor`, `asarray`, `frombuffer` and DLPack share; `tensor` copies."""
    for module in (backlit, torch):
        array = np.zeros(3)
        shared = [module.from_numpy(array), module.as_tensor(array), module.asarray(array)]
        shared.append(module.from_dlpack(array))
        copied = [module.tensor(array), module.asarray(array, copy=True)]
        array[0] = 5.0
        assert [t[0].item() for t in shared] == [5.0] * 4
        assert [t[0].item() for t in copied] == [0.0] * 2
        shared[0][1] = 6.0
        assert array[1] == 6.0
        assert module.as_tensor(shared[0]) is shared[0]


def test_dlpack_goes_both_ways() -> None:
    """NumPy and PyTorch read a tensor's memory through DLPack without a copy."""
    x = backlit.arange(4.0)
    a, b = np.from_dlpack(x), torch.from_dlpack(x)
    x.mul_(2.0)
    assert a.tolist() == b.tolist() == [0.0, 2.0, 4.0, 6.0]
    y = torch.ones(2)
    z = backlit.from_dlpack(y)
    y.mul_(3.0)
    assert z.tolist() == [3.0, 3.0]


def test_buffers() -> None:
    """`frombuffer` reads ``count`` elements from ``offset`` of any buffer."""
    raw = bytearray(np.arange(4, dtype=np.float32).tobytes())
    found = backlit.frombuffer(raw, dtype=backlit.float32, count=2, offset=4)
    assert found.tolist() == [1.0, 2.0]


def test_copies_keep_values_and_gradient_flags() -> None:
    """Pickling and deep copies preserve values, dtype and requires_grad, and share nothing."""
    x = backlit.tensor([1.0, 2.0], requires_grad=True)
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert made.tolist() == [1.0, 2.0]
        assert made.requires_grad
        with backlit.no_grad():
            made.add_(1.0)
        assert x.tolist() == [1.0, 2.0]


def test_view_as_another_dtype() -> None:
    """`view(dtype)` reads the same bits, and both tensors see writes of either."""
    for module in (backlit, torch):
        x = module.ones(2)
        bits = x.view(module.int32)
        assert bits.tolist() == [0x3F800000] * 2
        bits.zero_()
        assert x.tolist() == [0.0, 0.0]


def test_resize_keeps_elements_in_memory_order() -> None:
    """`resize_` cuts or extends the elements."""
    for module in (backlit, torch):
        x = module.arange(6).reshape(2, 3).clone()
        assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
        assert x.resize_as_(module.zeros(1, 3)).tolist() == [[0, 1, 2]]


def test_result_type_agrees() -> None:
    """Tensors with dimensions outrank 0-d tensors, which outrank numbers, within a kind."""
    pairs: list[Make] = [
        lambda m: (m.ones(2, dtype=m.int32), 1.5),
        lambda m: (m.ones(2, dtype=m.int32), m.tensor(1.5, dtype=m.float64)),
        lambda m: (m.ones(2), m.tensor(1.5, dtype=m.float64)),
        lambda m: (m.ones(2, dtype=m.uint8), m.ones(2, dtype=m.int8)),
        lambda m: (1, 2.0),
    ]
    for make in pairs:
        found, expected = (m.result_type(*make(m)) for m in (backlit, torch))
        assert str(found).split(".")[1] == str(expected).split(".")[1]


def test_out_argument() -> None:
    """``out=`` receives the values and is returned."""
    out = backlit.empty(3)
    assert backlit.arange(3, out=out) is out
    assert out.tolist() == [0.0, 1.0, 2.0]
    assert backlit.ones(3, out=out) is out
    assert out.tolist() == [1.0] * 3


def test_devices() -> None:
    """`device` prints and compares as PyTorch's, and other devices are refused by name."""
    assert repr(backlit.device("cpu")) == repr(torch.device("cpu"))
    assert str(backlit.device("cpu:0")) == str(torch.device("cpu:0"))
    assert backlit.zeros(1).device == backlit.device("cpu")
    assert backlit.zeros(1).to("cpu").device.type == "cpu"
    with pytest.raises(RuntimeError) as error:
        backlit.zeros(1).cuda()
    assert str(error.value) == (
        "device 'cuda' is not available: backlit runs on the CPU; use device='cpu'."
    )


def test_complex_is_refused() -> None:
    """`complex` says what to do instead."""
    with pytest.raises(TypeError) as error:
        backlit.complex(backlit.ones(1), backlit.ones(1))
    assert str(error.value) == (
        "complex: complex dtypes are not supported by backlit; keep real and imaginary parts apart."
    )
