"""Normalisation over a batch (Ioffe and Szegedy, 2015) or over each instance."""

from __future__ import annotations

import warnings
from typing import Any

from backlit.core.create import full_constant
from backlit.core.device import check_device
from backlit.core.dtypes import as_dtype, dtype, get_default_dtype, int64
from backlit.core.tensor import Tensor
from backlit.nn import functional as F
from backlit.nn import init
from backlit.nn.lazy import LazyModuleMixin
from backlit.nn.module import Module
from backlit.nn.parameter import (
    Parameter,
    UninitializedBuffer,
    UninitializedParameter,
    is_lazy,
    new_parameter,
)  # fmt: skip


class _NormBase(Module):
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β per channel, with running estimates of E and Var.

    Args:
        num_features: the number of channels.
        eps: ε.
        momentum: the share of each batch in the running estimates; None for a plain average.
        affine: whether γ and β are learned.
        track_running_stats: whether running estimates are kept, and used in evaluation.
        bias: whether there is a β.
    """

    _version = 2
    dims: tuple[int, ...] = ()  # how many dimensions inputs may have

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device(device)
        d = as_dtype(dtype) if dtype is not None else get_default_dtype()
        n = (num_features,)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", new_parameter(n, dtype=d, fill=1) if affine else None)
        self.register_parameter("bias", new_parameter(n, dtype=d) if affine and bias else None)
        track = track_running_stats
        self.register_buffer("running_mean", full_constant(n, 0, d) if track else None)
        self.register_buffer("running_var", full_constant(n, 1, d) if track else None)
        self.register_buffer("num_batches_tracked", full_constant((), 0, int64) if track else None)

    def reset_running_stats(self) -> None:
        """Forget the running estimates."""
        for t, x in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if t is not None:
                init.constant_(t, x)

    def reset_parameters(self) -> None:
        """Set γ to 1, β to 0, and forget the running estimates."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if self.dims and input.ndim not in self.dims:
            allowed = " or ".join(f"{n}D" for n in self.dims)
            raise ValueError(f"expected {allowed} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        key = prefix + "num_batches_tracked"
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict[key] = full_constant((), 0, int64)  # version 1 did not count batches
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        use_running = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if use_running else None,
            self.running_var if use_running else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            self._share_of_batch(),
            self.eps,
        )

    def _share_of_batch(self) -> float:
        """Count the batch, if that is done, and say how much it weighs in the running estimates."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / float(self.num_batches_tracked)
        return 0.0 if self.momentum is None else self.momentum


class BatchNorm1d(_BatchNorm):
    """Normalises each channel over the batch: x (N, C) or (N, C, L).

    >>> from backlit import nn
    >>> y = nn.BatchNorm1d(2)(backlit.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> bool((y - backlit.tensor([[-1.0, 0.0], [1.0, 0.0]])).abs().max() < 1e-4)
    True
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalises each channel over the batch: x (N, C, H, W)."""

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalises each channel over the batch: x (N, C, D, H, W)."""

    dims = (5,)


# -- instances ------------------------------------------------------------------------------------


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        dim = input.ndim - self.dims[0]  # where the channels are
        if input.shape[dim] != self.num_features:
            self._refuse(input, dim)
        batch = input if dim else input.unsqueeze(0)
        out = F.instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out if dim else out.squeeze(0)

    def _refuse(self, input: Tensor, dim: int) -> None:
        if self.affine:
            raise ValueError(
                f"expected input's size at dim={dim} to match num_features ({self.num_features}), "
                f"but got: {input.shape[dim]}."
            )
        warnings.warn(
            f"input's size at dim={dim} does not match num_features. You can silence this warning "
            "by not passing in num_features, which is not used because affine=False",
            stacklevel=3,
        )


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each instance: x (N, C, L) or (C, L)."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each instance: x (N, C, H, W) or (C, H, W)."""

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each instance: x (N, C, D, H, W) or (C, D, H, W)."""

    dims = (4, 5)


# -- lazy -----------------------------------------------------------------------------------------


class _LazyNorm(LazyModuleMixin, _NormBase):
    """A normalisation whose ``num_features`` is the number of channels of its first input."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        _NormBase.__init__(self, 0, eps, momentum, False, False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = full_constant((), 0, int64)

    def initialize_parameters(self, input: Tensor) -> None:
        if self.has_uninitialized_params():
            self.num_features = input.shape[1]
            for _, t in (*self._parameters_here(), *self._buffers_here()):
                if is_lazy(t):
                    t.materialize((self.num_features,))
            self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, _BatchNorm):
    """A `BatchNorm1d` that learns the number of channels from its first input."""

    cls_to_become = BatchNorm1d
    dims = BatchNorm1d.dims


class LazyBatchNorm2d(_LazyNorm, _BatchNorm):
    """A `BatchNorm2d` that learns the number of channels from its first input."""

    cls_to_become = BatchNorm2d
    dims = BatchNorm2d.dims


class LazyBatchNorm3d(_LazyNorm, _BatchNorm):
    """A `BatchNorm3d` that learns the number of channels from its first input."""

    cls_to_become = BatchNorm3d
    dims = BatchNorm3d.dims


class LazyInstanceNorm1d(_LazyNorm, _InstanceNorm):
    """An `InstanceNorm1d` that learns the number of channels from its first input."""

    cls_to_become = InstanceNorm1d
    dims = InstanceNorm1d.dims


class LazyInstanceNorm2d(_LazyNorm, _InstanceNorm):
    """An `InstanceNorm2d` that learns the number of channels from its first input."""

    cls_to_become = InstanceNorm2d
    dims = InstanceNorm2d.dims


class LazyInstanceNorm3d(_LazyNorm, _InstanceNorm):
    """An `InstanceNorm3d` that learns the number of channels from its first input."""

    cls_to_become = InstanceNorm3d
    dims = InstanceNorm3d.dims


__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d",
    "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d",
]  # fmt: skip
