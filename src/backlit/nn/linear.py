"""Affine layers: Linear, Bilinear, and those made of them."""

from __future__ import annotations

import math
from typing import Any

from backlit.core.dtypes import dtype
from backlit.core.tensor import Tensor
from backlit.nn import functional as F
from backlit.nn import init
from backlit.nn.lazy import LazyModuleMixin
from backlit.nn.module import Module
from backlit.nn.parameter import Parameter, UninitializedParameter, new_parameter
from backlit.nn.shortcut import repeatable


@repeatable
class Identity(Module):
    """y = x, whatever the arguments of the constructor.

    >>> from backlit import nn
    >>> nn.Identity(54, unused=True)(backlit.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


@repeatable
class Linear(Module):
    """Affine map: y = x Wᵀ + b.

    Args:
        in_features: size D of the last dimension of x.
        out_features: size M of the last dimension of y.
        bias: whether b, shape (M,), is learned.
        device: must be the CPU.
        dtype: of the parameters.

    Shapes: x (*, D) → y (*, M); W (M, D). Initialised uniform in ±1/√D (PyTorch's default).

    >>> from backlit import nn
    >>> nn.Linear(3, 5)(backlit.zeros(2, 3)).shape
    Size([2, 5])
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        made = new_parameter((out_features,), device, dtype) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        if self.in_features > 0:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.weight, -bound, bound)
            if self.bias is not None:
                init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """A `Linear` whose ``in_features`` is that of its first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: dtype | None = None
    ) -> None:
        super().__init__(0, out_features, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Tensor) -> None:
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            for p, shape in ((self.weight, (self.out_features, self.in_features)),
                             (self.bias, (self.out_features,))):  # fmt: skip
                if isinstance(p, UninitializedParameter):
                    p.materialize(shape)
            self.reset_parameters()
        self.in_features = self.weight.shape[-1]


@repeatable
class Bilinear(Module):
    """y_k = x₁ᵀ W_k x₂ + b_k.

    Shapes: x₁ (*, D₁), x₂ (*, D₂) → y (*, M); W (M, D₁, D₂). Initialised uniform in ±1/√D₁.

    >>> from backlit import nn
    >>> nn.Bilinear(2, 3, 4)(backlit.zeros(5, 2), backlit.zeros(5, 3)).shape
    Size([5, 4])
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={in1_features})")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        made = new_parameter((out_features,), device, dtype) if bias else None
        self.register_parameter("bias", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in (self.weight, self.bias):
            if p is not None:
                init.uniform_(p, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


@repeatable
class Maxout(Module):
    """y = max over k pieces of x W_kᵀ + b_k (Goodfellow et al., 2013).

    Args:
        in_features: size D of the last dimension of x.
        out_features: size M of the last dimension of y.
        k: how many affine maps compete; the layer has k times the parameters of `Linear`.
        bias: whether the maps have biases.

    >>> from backlit import nn
    >>> layer = nn.Maxout(3, 5)
    >>> layer(backlit.zeros(2, 3)).shape, sum(p.numel() for p in layer.parameters())
    (Size([2, 5]), 40)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        k: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"Maxout: k must be at least 1 piece per unit, got {k}.")
        self.in_features = in_features
        self.out_features = out_features
        self.k = k
        self.pieces = Linear(in_features, out_features * k, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        z: Tensor = self.pieces(input)  # (*, M k)
        pieces = z.reshape(*z.shape[:-1], self.out_features, self.k)
        return pieces.amax(-1)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, k={self.k}"


@repeatable
class Residual(Module):
    """y = x + f(x): an information highway around f (He et al., 2015).

    Args:
        block: f, a module.
        shortcut: what x goes through on the highway, if f changes its size; the identity if None.

    >>> from backlit import nn
    >>> nn.Residual(nn.Identity())(backlit.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, block: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.shortcut = shortcut if shortcut is not None else Identity()

    def forward(self, input: Tensor) -> Tensor:
        return self.shortcut(input) + self.block(input)


__all__ = [
    "Bilinear", "Identity", "LazyLinear", "Linear", "Maxout",
    "Residual",
]  # fmt: skip
