"""Padding, and rearranging images: pixel shuffles, windows as columns (unfold) and back (fold)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from backlit.core.op import op
from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.movement import (
    cat_card,
    expand_card,
    flip_card,
    permute_card,
    reshape_card,
    slice_card,
    slice_write_card,
    strided_card,
    strided_write_card,
    zeros,
)
from backlit.ops.shape_split import unit

# -- padding ------------------------------------------------------------------------------------


def _part(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    if length == x.shape[dim]:
        return x
    return slice_card(x, start, dims=(dim,), lengths=(length,), steps=(1,))


def _edge(x: Tensor, dim: int, start: int, n: int) -> Tensor:
    wide = tuple([n if d == dim else size for d, size in enumerate(x.shape)])
    return expand_card(_part(x, dim, start, 1), shape=wide)


def _reflect(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    n = x.shape[dim]
    if before >= n or after >= n:
        raise ShapeError(
            "pad: Argument #4: Padding size should be less than the corresponding input dimension, "
            f"but got: padding ({before}, {after}) at dimension {dim} of input {list(x.shape)}."
        )
    front = flip_card(_part(x, dim, 1, before), dims=(dim,))
    return front, flip_card(_part(x, dim, n - 1 - after, after), dims=(dim,))


def _replicate(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    return _edge(x, dim, 0, before), _edge(x, dim, x.shape[dim] - 1, after)


def _circular(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    n = x.shape[dim]
    if before > n or after > n:
        raise ShapeError(
            f"pad: Padding value causes wrapping around more than once: ({before}, {after}) at "
            f"dimension {dim} of input {list(x.shape)}."
        )
    return _part(x, dim, n - before, before), _part(x, dim, 0, after)


_ENDS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
}


def _cropped(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """``x`` without the elements that negative padding takes away."""
    start, end = max(0, -before), max(0, -after)
    length = x.shape[dim] - start - end
    if length < 0:
        raise ShapeError(
            f"pad: The input size {x.shape[dim]}, plus negative padding {before} and {after}, "
            f"resulted in a negative output size, which is invalid. Check dimension {dim} of your "
            "input."
        )
    return _part(x, dim, start, length)


def _constant_pad(x: Tensor, ends: list[tuple[int, int, int]], value: Any) -> Tensor:
    for dim, before, after in ends:
        x = _cropped(x, dim, before, after)
    grow = [(d, max(b, 0), max(a, 0)) for d, b, a in ends if b > 0 or a > 0]
    if not grow:
        return x.clone()
    shape, inner = list(x.shape), tuple(x.shape)
    for dim, before, after in grow:
        shape[dim] += before + after
    from backlit.ops.scatter import spread_value

    outer = spread_value(0 if value is None else value, x, tuple(shape))
    dims = tuple([d for d, _, _ in grow])
    return slice_write_card(
        outer, x, *(b for _, b, _ in grow),
        dims=dims, lengths=tuple([inner[d] for d in dims]), steps=(1,) * len(dims),
    )  # fmt: skip


def _padded_dims(input: Tensor, pad: tuple[int, ...], mode: str) -> list[tuple[int, int, int]]:
    """(dim, before, after) for each padded dimension, from the last one to the front."""
    if len(pad) % 2:
        raise ArgumentError(f"pad: Padding length must be divisible by 2, got {len(pad)}.")
    n = len(pad) // 2
    if n > input.ndim:
        raise ArgumentError(
            "pad: Padding length should be less than or equal to two times the input dimension but "
            f"got padding length {len(pad)} and input of dimension {input.ndim}."
        )
    if mode != "constant" and not (n <= 3 and input.ndim in (n + 1, n + 2)):
        raise ArgumentError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, with "
            f"padding of the last 1, 2 or 3 dims; got input {list(input.shape)} and pad {pad}."
        )
    return [(input.ndim - 1 - i, pad[2 * i], pad[2 * i + 1]) for i in range(n)]


@op(name="nn.functional.pad", method=False)
def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    """Elements added at (or, where negative, taken from) the ends of the last dimensions.

    ``pad`` is (before, after) for the last dimension, then for the one before it, and so on.

    >>> import backlit
    >>> pad(backlit.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.])
    """
    ends = _padded_dims(input, tuple(pad), mode)
    if mode == "constant":
        return _constant_pad(input, ends, value)
    if mode not in _ENDS:
        raise ArgumentError(
            f"pad: Unrecognised padding mode {mode}; use constant, reflect, replicate or circular."
        )
    if value:
        raise ArgumentError(f'pad: Padding mode "{mode}" doesn\'t take in value argument.')
    _check_not_empty(input, ends, mode)
    out = input
    for dim, before, after in ends:
        if mode == "circular":
            out = _cropped(out, dim, min(before, 0), min(after, 0))
        before_part, after_part = _ENDS[mode](out, dim, max(before, 0), max(after, 0))
        parts = [p for p in (before_part, out, after_part) if p.shape[dim] or p is out]
        out = cat_card(*parts, dim=dim) if len(parts) > 1 else out
        if mode != "circular":
            out = _cropped(out, dim, min(before, 0), min(after, 0))
    return out.clone() if out is input else out


def _check_not_empty(input: Tensor, ends: list[tuple[int, int, int]], mode: str) -> None:
    first = input.ndim - len(ends) - 1
    if mode != "circular" and 0 in input.shape[first:]:
        raise ShapeError(
            f"pad: Expected {input.ndim}D input tensor with possibly 0 batch size and other "
            f"non-zero dimensions for mode {mode}, but got: {list(input.shape)}."
        )


# -- pixels and channels ------------------------------------------------------------------------


@op(name="nn.functional.pixel_shuffle", method=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, C r², H, W) → (…, C, H r, W r)."""
    r = upscale_factor
    if input.ndim < 3:
        raise ShapeError(
            "pixel_shuffle expects input to have at least 3 dimensions, but got input with "
            f"{input.ndim} dimension(s)."
        )
    if r <= 0:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}.")
    *batch, c, h, w = input.shape
    if c % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}."
        )
    b = len(batch)
    x = reshape_card(input, shape=(*batch, c // (r * r), r, r, h, w))
    x = permute_card(x, dims=(*range(b), b, b + 3, b + 1, b + 4, b + 2))
    return reshape_card(x, shape=(*batch, c // (r * r), h * r, w * r))


@op(name="nn.functional.pixel_unshuffle", method=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, C, H r, W r) → (…, C r², H, W)."""
    r = downscale_factor
    if input.ndim < 3:
        raise ShapeError(
            "pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
            f"{input.ndim} dimension(s)."
        )
    if r <= 0:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}.")
    *batch, c, h, w = input.shape
    if h % r or w % r:
        raise ShapeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            f"input sizes {h} and {w} are not both divisible by {r}."
        )
    b = len(batch)
    x = reshape_card(input, shape=(*batch, c, h // r, r, w // r, r))
    x = permute_card(x, dims=(*range(b), b, b + 2, b + 4, b + 1, b + 3))
    return reshape_card(x, shape=(*batch, c * r * r, h // r, w // r))


@op(method=False)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out over groups: (N, g k, …) read as (N, g, k, …) and transposed."""
    if input.ndim < 3:
        raise ShapeError(
            "channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}."
        )
    n, c, *rest = input.shape
    if groups <= 0 or c % groups:
        raise ArgumentError(
            f"channel_shuffle: Number of channels must be divisible by groups. Got {c} channels "
            f"and {groups} groups."
        )
    x = reshape_card(input, shape=(n, groups, c // groups, *rest))
    x = permute_card(x, dims=(0, 2, 1, *range(3, x.ndim)))
    return reshape_card(x, shape=tuple(input.shape))


PUBLIC["nn.functional.channel_shuffle"] = channel_shuffle
PUBLIC["pixel_shuffle"] = pixel_shuffle
PUBLIC["pixel_unshuffle"] = pixel_unshuffle


# -- windows as columns -------------------------------------------------------------------------


def _pair(name: str, x: Any, least: int) -> tuple[int, int]:
    found = (x, x) if isinstance(x, int) else tuple(x) * (2 // len(tuple(x)))
    if len(found) != 2 or min(found) < least:
        raise ArgumentError(f"{name} must be one or two integers of at least {least}, got {x!r}.")
    return found[0], found[1]


class _Windows:
    """Where the blocks of an image lie: shared by unfold and fold."""

    def __init__(self, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> None:
        self.kernel = _pair("kernel_size", kernel, 1)
        self.dilation = _pair("dilation", dilation, 1)
        self.padding = _pair("padding", padding, 0)
        self.stride = _pair("stride", stride, 1)
        self.size = size
        self.counts = tuple(
            [
                (n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, p, d, k, s in zip(
                    size, self.padding, self.dilation, self.kernel, self.stride, strict=True
                )
            ]
        )

    def steps(self) -> tuple[tuple[int, ...], ...]:
        """Steps of (n, c, kernel rows, kernel columns, block rows, block columns)."""
        (dh, dw), (sh, sw) = self.dilation, self.stride
        return (unit(4, 0), unit(4, 1), unit(4, 2, dh), unit(4, 3, dw), unit(4, 2, sh),
                unit(4, 3, sw))  # fmt: skip


def _batched(x: Tensor, ndim: int) -> Tensor:
    return x if x.ndim == ndim else reshape_card(x, shape=(1, *x.shape))


@op(name="nn.functional.unfold", method=False)
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """All windows of an image as columns: (N, C, H, W) → (N, C kₕ k_w, number of windows)."""
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise ShapeError(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(input.shape)}."
        )
    w = _Windows(input.shape[-2:], kernel_size, dilation, padding, stride)
    if min(w.counts) < 1:
        raise ShapeError(
            f"unfold: Given input with spatial size {tuple(w.size)}, kernel_size={w.kernel}, "
            f"dilation={w.dilation}, padding={w.padding}, stride={w.stride}, calculated shape of "
            f"the array of sliding blocks as {w.counts}, but its components must be at least one."
        )
    x = _batched(input, 4)
    (ph, pw), (kh, kw), (rows, columns) = w.padding, w.kernel, w.counts
    x = _constant_pad(x, [(3, pw, pw), (2, ph, ph)], 0) if ph or pw else x
    n, c = x.shape[:2]
    blocks = strided_card(
        x, size=(n, c, kh, kw, rows, columns), offset=(0, 0, 0, 0), steps=w.steps()
    )
    lead = (n,) if input.ndim == 4 else ()
    return reshape_card(blocks, shape=(*lead, c * kh * kw, rows * columns))


@op(name="nn.functional.fold", method=False)
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """The reverse of unfold: windows put back in their places; where they overlap, summed."""
    height, width = _pair("output_size", output_size, 1)
    w = _Windows((height, width), kernel_size, dilation, padding, stride)
    (ph, pw), (kh, kw), (rows, columns) = w.padding, w.kernel, w.counts
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise ShapeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}."
        )
    if input.shape[-2] % (kh * kw):
        raise ShapeError(
            "fold: Expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size, but got input.size(1)={input.shape[-2]} and kernel_size={w.kernel}."
        )
    if min(w.counts) < 1 or input.shape[-1] != prod(w.counts):
        raise ShapeError(
            f"fold: Given output_size={w.size}, kernel_size={w.kernel}, dilation={w.dilation}, "
            f"padding={w.padding}, stride={w.stride}, expected size of input's dimension 2 to match"
            f" the calculated number of sliding blocks {rows} * {columns} = {rows * columns}, but "
            f"got input.size(2)={input.shape[-1]}."
        )
    x = _batched(input, 3)
    n, c = x.shape[0], x.shape[1] // (kh * kw)
    blocks = reshape_card(x, shape=(n, c, kh, kw, rows, columns))
    base = zeros((n, c, height + 2 * ph, width + 2 * pw), input.dtype)
    whole = strided_write_card(base, blocks, offset=(0, 0, 0, 0), steps=w.steps(), accumulate=True)
    out = _part(_part(whole, 2, ph, height), 3, pw, width)
    return out if input.ndim == 3 else reshape_card(out, shape=tuple(out.shape[1:]))
