"""What joining, arranging and padding refuse, with the full text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit.errors import ArgumentError, DtypeError, IndexOutOfRange, ShapeError
from backlit.ops.shape_pad import channel_shuffle, fold, pad, pixel_shuffle, pixel_unshuffle, unfold

v = backlit.zeros(3)
s = backlit.tensor(1.0)
image = backlit.zeros(1, 3, 4, 4)

# What is called with a fresh 2 × 3 tensor, the class of the error, and its text.
REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (
        backlit.cat,
        TypeError,
        ("cat(): argument 'tensors' must be tuple of Tensors, not Tensor."),
    ),
    (
        lambda x: backlit.cat([x, 1]),
        TypeError,
        ("cat(): expected Tensor as element 1 in argument 0, but got int."),
    ),
    (
        lambda _: backlit.cat([]),
        ArgumentError,
        ("cat(): expected a non-empty list of Tensors."),
    ),
    (
        lambda x: backlit.cat([x, v]),
        ShapeError,
        ("cat: Tensors must have same number of dimensions: got 2 and 1 (tensor number 1)."),
    ),
    (
        lambda x: backlit.cat([x, backlit.zeros(2, 4)]),
        ShapeError,
        (
            "cat: Sizes of tensors must match except in dimension 0. Expected size 3 but got size"
            " 4 for tensor number 1 in the list."
        ),
    ),
    (
        lambda _: backlit.cat([s, s]),
        ShapeError,
        ("cat: zero-dimensional tensor (at position 0) cannot be concatenated; use stack."),
    ),
    (
        lambda x: backlit.stack([x, v]),
        ShapeError,
        (
            "stack expects each tensor to be equal size, but got [2, 3] at entry 0 and [3] at "
            "entry 1."
        ),
    ),
    (
        lambda _: backlit.block_diag(backlit.zeros(1, 1, 1)),
        ShapeError,
        ("block_diag: Input tensors must have 2 or fewer dimensions. Input 0 has 3 dimensions."),
    ),
    (
        backlit.cartesian_prod,
        ShapeError,
        ("cartesian_prod: Expect a 1D vector, but got shape [2, 3]; use .ravel()."),
    ),
    (
        lambda x: x.combinations(),
        ShapeError,
        ("combinations: Expect a 1D vector, but got shape [2, 3]."),
    ),
    (
        lambda _: v.combinations(-1),
        ArgumentError,
        ("combinations: Expect a non-negative number, but got -1."),
    ),
    (
        lambda _: backlit.meshgrid(v, indexing="yx"),
        ArgumentError,
        ('meshgrid: indexing must be one of "xy" or "ij", but received: \'yx\'.'),
    ),
    (
        backlit.meshgrid,
        ShapeError,
        ("meshgrid: Expected 0D or 1D tensor in the tensor list but got: 2D tensor."),
    ),
    (
        lambda _: backlit.meshgrid(v, v.long()),
        DtypeError,
        ("meshgrid expects all tensors to have the same dtype."),
    ),
    (
        lambda x: x.roll(()),
        ArgumentError,
        ("roll: `shifts` required; give one shift per dim."),
    ),
    (
        lambda x: x.roll((1, 1), 0),
        ArgumentError,
        ("roll: shifts and dimensions must align. shifts: 2, dims: 1."),
    ),
    (
        lambda _: s.roll(1, 0),
        IndexOutOfRange,
        ("roll: Dimension specified as 0 but tensor has no dimensions."),
    ),
    (
        lambda x: x.rot90(1, (0,)),
        ArgumentError,
        ("rot90: expected total rotation dims == 2, but got dims = 1."),
    ),
    (
        lambda _: v.rot90(),
        ArgumentError,
        ("rot90: expected total dims >= 2, but got total dims = 1."),
    ),
    (
        lambda x: x.rot90(1, (0, 0)),
        ArgumentError,
        ("rot90: expected rotation dims to be different, but got dim0 = 0 and dim1 = 0."),
    ),
    (
        lambda _: backlit.tril_indices(-1, 2),
        ArgumentError,
        ("tril_indices: row and col must be non-negative, got -1 and 2."),
    ),
    (
        lambda _: backlit.tril_indices(1, 2, dtype=backlit.float32),
        DtypeError,
        ('"tril_indices" not implemented for float32; use an integer dtype.'),
    ),
    (
        lambda _: s.diag_embed(),
        IndexOutOfRange,
        ("diag_embed: Dimension specified as -1 but tensor has no dimensions."),
    ),
    (
        lambda x: x.diag_embed(0, 1, 1),
        ArgumentError,
        ("diag_embed: diagonal dimensions cannot be identical 1, 1."),
    ),
    (
        lambda _: s.diag(),
        ShapeError,
        ("diag(): Supports 1D or 2D tensors. Got 0D; use diagonal or diag_embed."),
    ),
    (
        lambda x: x.repeat(2),
        ShapeError,
        (
            "repeat: Number of dimensions of repeat dims can not be smaller than number of "
            "dimensions of tensor: 1 < 2."
        ),
    ),
    (
        lambda _: v.repeat(-1),
        ShapeError,
        ("repeat: Trying to create tensor with negative dimension: [-1]."),
    ),
    (
        lambda _: v.repeat_interleave(-1),
        ArgumentError,
        ("repeat_interleave: repeats has to be non-negative, got -1."),
    ),
    (
        lambda _: v.repeat_interleave(backlit.tensor([0.5, 1.0, 2.0])),
        DtypeError,
        ("repeat_interleave: repeats has to be int or long, got float32."),
    ),
    (
        lambda _: v.repeat_interleave(backlit.ones(1, 3).long()),
        ShapeError,
        ("repeat_interleave only accept 1D vector as repeat, got 2 dimensions."),
    ),
    (
        lambda _: v.repeat_interleave(backlit.tensor([1, 2])),
        ShapeError,
        (
            "repeat_interleave: repeats must have the same size as input along dim, but "
            "repeats.size(0) = 2 and input.size(dim) = 3."
        ),
    ),
    (
        lambda _: v.repeat_interleave(backlit.tensor([1, -2, 1])),
        ArgumentError,
        ("repeat_interleave: repeats can not be negative."),
    ),
    (
        lambda _: pad(v, (1,)),
        ArgumentError,
        ("pad: Padding length must be divisible by 2, got 1."),
    ),
    (
        lambda _: pad(v, (1, 1, 1, 1)),
        ArgumentError,
        (
            "pad: Padding length should be less than or equal to two times the input dimension "
            "but got padding length 4 and input of dimension 1."
        ),
    ),
    (
        lambda _: pad(v, (1, 1), "reflect"),
        ArgumentError,
        (
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, with "
            "padding of the last 1, 2 or 3 dims; got input [3] and pad (1, 1)."
        ),
    ),
    (
        lambda x: pad(x, (3, 3), "reflect"),
        ShapeError,
        (
            "pad: Argument #4: Padding size should be less than the corresponding input "
            "dimension, but got: padding (3, 3) at dimension 1 of input [2, 3]."
        ),
    ),
    (
        lambda x: pad(x, (4, 4), "circular"),
        ShapeError,
        (
            "pad: Padding value causes wrapping around more than once: (4, 4) at dimension 1 of "
            "input [2, 3]."
        ),
    ),
    (
        lambda _: pad(v, (-4, 0)),
        ShapeError,
        (
            "pad: The input size 3, plus negative padding -4 and 0, resulted in a negative output"
            " size, which is invalid. Check dimension 0 of your input."
        ),
    ),
    (
        lambda x: pad(x, (1, 1), "mirror"),
        ArgumentError,
        ("pad: Unrecognised padding mode mirror; use constant, reflect, replicate or circular."),
    ),
    (
        lambda x: pad(x, (1, 1), "reflect", 1.0),
        ArgumentError,
        ('pad: Padding mode "reflect" doesn\'t take in value argument.'),
    ),
    (
        lambda _: pad(backlit.zeros(1, 0, 2), (1, 1), "reflect"),
        ShapeError,
        (
            "pad: Expected 3D input tensor with possibly 0 batch size and other non-zero "
            "dimensions for mode reflect, but got: [1, 0, 2]."
        ),
    ),
    (
        lambda x: pixel_shuffle(x, 2),
        ShapeError,
        (
            "pixel_shuffle expects input to have at least 3 dimensions, but got input with 2 "
            "dimension(s)."
        ),
    ),
    (
        lambda _: pixel_shuffle(image, 0),
        ArgumentError,
        ("pixel_shuffle expects a positive upscale_factor, but got 0."),
    ),
    (
        lambda _: pixel_shuffle(image, 2),
        ShapeError,
        (
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            "of upscale_factor, but input.size(-3)=3 is not divisible by 4."
        ),
    ),
    (
        lambda x: pixel_unshuffle(x, 2),
        ShapeError,
        (
            "pixel_unshuffle expects input to have at least 3 dimensions, but got input with 2 "
            "dimension(s)."
        ),
    ),
    (
        lambda _: pixel_unshuffle(image, 0),
        ArgumentError,
        ("pixel_unshuffle expects a positive downscale_factor, but got 0."),
    ),
    (
        lambda _: pixel_unshuffle(image, 5),
        ShapeError,
        (
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            "input sizes 4 and 4 are not both divisible by 5."
        ),
    ),
    (
        lambda x: channel_shuffle(x, 1),
        ShapeError,
        ("channel_shuffle expects input with > 2 dims, but got input with sizes [2, 3]."),
    ),
    (
        lambda _: channel_shuffle(image, 2),
        ArgumentError,
        (
            "channel_shuffle: Number of channels must be divisible by groups. Got 3 channels and "
            "2 groups."
        ),
    ),
    (
        lambda x: unfold(x, 1),
        ShapeError,
        (
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other "
            "non-zero dimensions for input, but got: [2, 3]."
        ),
    ),
    (
        lambda _: unfold(image, (1, 2, 3)),
        ArgumentError,
        ("kernel_size must be one or two integers of at least 1, got (1, 2, 3)."),
    ),
    (
        lambda _: unfold(image, 9),
        ShapeError,
        (
            "unfold: Given input with spatial size (4, 4), kernel_size=(9, 9), dilation=(1, 1), "
            "padding=(0, 0), stride=(1, 1), calculated shape of the array of sliding blocks as "
            "(-4, -4), but its components must be at least one."
        ),
    ),
    (
        lambda _: fold(image, 4, 2),
        ShapeError,
        (
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and"
            " non-zero dimensions for input, but got: [1, 3, 4, 4]."
        ),
    ),
    (
        lambda x: fold(x, 4, 3),
        ShapeError,
        (
            "fold: Expected size of input's dimension 1 to be divisible by the product of "
            "kernel_size, but got input.size(1)=2 and kernel_size=(3, 3)."
        ),
    ),
    (
        lambda _: fold(backlit.zeros(4, 5), 4, 2),
        ShapeError,
        (
            "fold: Given output_size=(4, 4), kernel_size=(2, 2), dilation=(1, 1), padding=(0, 0),"
            " stride=(1, 1), expected size of input's dimension 2 to match the calculated number "
            "of sliding blocks 3 * 3 = 9, but got input.size(2)=5."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_message_in_full(call: Callable[[Any], Any], kind: type[Exception], text: str) -> None:
    """The error says what, why and the next step, in these words."""
    with pytest.raises(kind) as error:
        call(backlit.zeros(2, 3))
    assert str(error.value) == text
