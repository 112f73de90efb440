"""Resampling of sequences, images and volumes: one dimension after the other.

Each dimension is a gather of the elements that take part and a sum with fixed weights, so that the
gradient, and the gradient's gradient, follow from those.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from backlit.core.dtypes import bool_, float32, float64, int64, uint8
from backlit.core.era import local
from backlit.core.op import op, plain
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError
from backlit.ops import resample_taps
from backlit.ops.index_cards import index_card
from backlit.ops.resample_taps import Taps

_RANKS = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "lanczos": (4,), "trilinear": (5,)}
_ANY_RANK = ("nearest", "nearest-exact", "area")
_SIZES = "int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int]"


class _Plan:
    """The sizes that the spatial dimensions get, and the scales that were asked for, if any."""

    def __init__(self, sizes: list[int], scales: list[float | None]) -> None:
        self.sizes = sizes
        self.scales = scales


def _planned(input: Tensor, size: Any, scale_factor: Any, recompute: Any, mode: str) -> _Plan:
    spatial = list(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ArgumentError("interpolate: only one of size or scale_factor should be defined.")
    if size is None and scale_factor is None:
        raise ArgumentError("interpolate: either size or scale_factor should be defined.")
    if size is not None:
        if recompute:
            raise ArgumentError(
                "interpolate: recompute_scale_factor is not meaningful with an explicit size."
            )
        return _Plan(_sizes(size, spatial), [None] * len(spatial))
    factors = _factors(scale_factor, spatial)
    sizes = [int(n * f) for n, f in zip(spatial, factors, strict=True)]
    kept = not recompute and mode != "area"
    return _Plan(sizes, [f if kept and f > 0 else None for f in factors])


def _sizes(size: Any, spatial: list[int]) -> list[int]:
    several = isinstance(size, (list, tuple))
    if several and len(size) != len(spatial):
        raise ArgumentError(
            "interpolate: Input and output must have the same number of spatial dimensions, but "
            f"got input with spatial dimensions of {spatial} and output size of {size}. Please "
            "provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
            "(o1, o2, ...,oK) format."
        )
    sizes = list(size) if several else [size] * len(spatial)
    if not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise TypeError(
            f"interpolate: expected size to be one of {_SIZES}, but got size with types "
            f"{[type(n).__name__ for n in sizes]}."
        )
    return [int(n) for n in sizes]


def _factors(scale_factor: Any, spatial: list[int]) -> list[float]:
    several = isinstance(scale_factor, (list, tuple))
    if several and len(scale_factor) != len(spatial):
        raise ArgumentError(
            "interpolate: Input and scale_factor must have the same number of spatial dimensions, "
            f"but got input with spatial dimensions of {spatial} and scale_factor of shape "
            f"{scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            "scale_factor in (s1, s2, ...,sK) format."
        )
    factors = list(scale_factor) if several else [scale_factor] * len(spatial)
    if not all(isinstance(f, (int, float, np.number)) for f in factors):
        raise TypeError(
            "interpolate: expected scale_factor to be a number or a tuple of numbers, but got "
            f"types {[type(f).__name__ for f in factors]}."
        )
    return [float(f) for f in factors]


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode in _ANY_RANK and align_corners is not None:
        raise ArgumentError(
            "interpolate: align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear."
        )
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.ndim == 4):
        raise ArgumentError(
            "interpolate: Anti-alias option is restricted to bilinear, bicubic, and lanczos modes "
            "and requires a 4-D tensor as input."
        )
    known = input.ndim in (3, 4, 5) and (mode in _ANY_RANK or mode in _RANKS)
    if known and mode in ("linear", "bilinear", "trilinear") and input.ndim not in _RANKS[mode]:
        raise NotImplementedError(
            f"interpolate: Got {input.ndim}D input, but {mode} mode needs {_RANKS[mode][0]}D input."
        )
    if not known or input.ndim not in _RANKS.get(mode, (3, 4, 5)):
        raise NotImplementedError(
            "interpolate: Input Error: Only 3D, 4D and 5D input Tensors supported (got "
            f"{input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | "
            f"lanczos | area | nearest-exact (got {mode})."
        )
    if mode == "lanczos" and align_corners:
        raise ArgumentError("interpolate: Lanczos mode does not support align_corners=True.")
    if mode == "lanczos" and not antialias:
        raise ArgumentError("interpolate: Lanczos mode requires antialias=True.")


def _check_shape(input: Tensor, sizes: list[int], mode: str) -> None:
    shape = list(input.shape)
    if mode == "area":
        if 0 in shape[2:] or min(sizes) < 0:
            raise ShapeError(
                "interpolate: mode area expects an input with elements in its spatial dimensions "
                f"and sizes of at least 0, but got input {shape} and sizes {sizes}."
            )
        return
    if 0 in shape[2:] or min(sizes) <= 0:
        raise ShapeError(
            "interpolate: Input and output sizes should be greater than 0, but got input "
            f"{shape[2:]} and output {sizes}."
        )
    if not shape[1]:
        raise ShapeError(
            f"interpolate: Non-empty {input.ndim}D data tensor expected but got a tensor with "
            f"sizes {shape}."
        )


def _check_dtype(input: Tensor, mode: str) -> None:
    bytes_too = mode in ("nearest", "nearest-exact") or (input.ndim == 4 and mode != "area")
    if not (input.dtype.is_floating_point or (input.dtype is uint8 and bytes_too)):
        raise DtypeError(
            f"interpolate: mode {mode} of {input.ndim}D input is not implemented for "
            f"{input.dtype.name}; convert the input with .float()."
        )


def _taps(
    mode: str, n: int, m: int, scale: float | None, aligned: bool, antialias: bool, d: Any
) -> Taps:
    if mode in ("nearest", "nearest-exact"):
        return resample_taps.nearest(n, m, scale, mode == "nearest-exact")
    if mode == "area":
        return resample_taps.area(n, m)
    if antialias:
        return resample_taps.antialiased(n, m, scale, aligned, d, mode)
    make = resample_taps.cubic if mode == "bicubic" else resample_taps.linear
    return make(n, m, scale, aligned, d)


def _resampled(x: Tensor, dim: int, taps: Taps) -> Tensor:
    constant = local.era.constant
    found: Tensor = index_card(x, constant(taps.index, int64), dim=dim)
    if taps.weights is None:
        return found
    shape = (*taps.index.shape, *(1,) * (x.ndim - dim - 1))
    if taps.used is not None:  # what lies outside a window may be infinite
        found = found.where(constant(taps.used.reshape(shape), bool_), 0)
    weights = constant(taps.weights.astype(x.dtype.numpy).reshape(shape), x.dtype)
    return (found * weights).sum(dim + 1)


@op(name="nn.functional.interpolate", method=False)
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Sequences (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W) in another size.

    Args:
        input: what is resampled.
        size: the new sizes (L,), (H, W) or (D, H, W), or one for all of them.
        scale_factor: instead of ``size``: how many times as large.
        mode: "nearest", "nearest-exact", "area"; "linear", "bilinear" and "trilinear" for 3, 4 and
            5 dimensions; "bicubic" and, with ``antialias``, "lanczos" for images.
        align_corners: whether the centres of the corner pixels stay where they are.
        recompute_scale_factor: whether positions follow from the rounded sizes, not from
            ``scale_factor``.
        antialias: whether the filter grows with the pixels where an image shrinks.

    >>> import backlit
    >>> interpolate(backlit.tensor([[[0.0, 4.0]]]), size=4, mode="linear")
    tensor([[[0., 1., 3., 4.]]])
    """
    _check_mode(input, mode, align_corners, antialias)
    plan = _planned(input, size, scale_factor, recompute_scale_factor, mode)
    _check_shape(input, plan.sizes, mode)
    _check_dtype(input, mode)
    picks = mode in ("nearest", "nearest-exact")
    wide = input.dtype if picks or input.dtype is float64 else float32
    x = input.to(wide)
    for i in reversed(range(len(plan.sizes))):
        n, m, scale = x.shape[i + 2], plan.sizes[i], plan.scales[i]
        taps = _taps(mode, n, m, scale, bool(align_corners), antialias, wide.numpy.type)
        x = _resampled(x, i + 2, taps)
        if input.dtype is uint8 and not picks:  # PyTorch keeps bytes between the dimensions
            x = (x + 0.5).floor().clamp(0, 255)
    return x.to(input.dtype)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )


@plain("nn.functional.upsample", method=False)
def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of `interpolate`."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@plain("nn.functional.upsample_nearest", method=False)
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of `interpolate` in mode "nearest"."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


@plain("nn.functional.upsample_bilinear", method=False)
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of `interpolate` in mode "bilinear" with aligned corners."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
