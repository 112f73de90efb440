"""What resampling refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

import backlit
import backlit.nn.functional as F
from backlit.errors import ArgumentError, DtypeError, ShapeError

RANKS = (
    "interpolate: Input Error: Only 3D, 4D and 5D input Tensors supported (got {}D) for the modes: "
    "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {})."
)
FORMAT = "Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
REFUSED: list[tuple[tuple[int, ...], dict[str, Any], type[Exception], str]] = [
    (
        (1, 1, 2, 2),
        {"size": 3, "scale_factor": 2},
        ArgumentError,
        "interpolate: only one of size or scale_factor should be defined.",
    ),
    (
        (1, 1, 2, 2),
        {},
        ArgumentError,
        "interpolate: either size or scale_factor should be defined.",
    ),
    (
        (1, 1, 2, 2),
        {"size": 3, "recompute_scale_factor": True},
        ArgumentError,
        "interpolate: recompute_scale_factor is not meaningful with an explicit size.",
    ),
    (
        (1, 1, 2, 2),
        {"size": (3,)},
        ArgumentError,
        "interpolate: Input and output must have the same number of spatial dimensions, but got "
        "input with spatial dimensions of [2, 2] and output size of (3,). " + FORMAT + "output "
        "size in (o1, o2, ...,oK) format.",
    ),
    (
        (1, 1, 2, 2),
        {"size": (3, 2.5)},
        TypeError,
        (
            "interpolate: expected size to be one of int or Tuple[int] or Tuple[int, int] or "
            "Tuple[int, int, int], but got size with types ['int', 'float']."
        ),
    ),
    (
        (1, 1, 2, 2),
        {"scale_factor": (2.0,)},
        ArgumentError,
        "interpolate: Input and scale_factor must have the same number of spatial dimensions, but "
        "got input with spatial dimensions of [2, 2] and scale_factor of shape (2.0,). "
        + FORMAT
        + "scale_factor in (s1, s2, ...,sK) format.",
    ),
    (
        (1, 1, 2, 2),
        {"scale_factor": "2"},
        TypeError,
        (
            "interpolate: expected scale_factor to be a number or a tuple of numbers, but got "
            "types ['str', 'str']."
        ),
    ),
    (
        (1, 1, 2, 2),
        {"size": 3, "align_corners": True},
        ArgumentError,
        (
            "interpolate: align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear."
        ),
    ),
    (
        (1, 1, 2),
        {"size": 3, "mode": "linear", "antialias": True},
        ArgumentError,
        (
            "interpolate: Anti-alias option is restricted to bilinear, bicubic, and lanczos modes "
            "and requires a 4-D tensor as input."
        ),
    ),
    (
        (1, 1, 2),
        {"size": 3, "mode": "bilinear"},
        NotImplementedError,
        "interpolate: Got 3D input, but bilinear mode needs 4D input.",
    ),
    ((1, 1, 2, 2), {"size": 3, "mode": "foo"}, NotImplementedError, RANKS.format(4, "foo")),
    ((1, 2), {"size": 3}, NotImplementedError, RANKS.format(2, "nearest")),
    ((1, 1, 2), {"size": 3, "mode": "bicubic"}, NotImplementedError, RANKS.format(3, "bicubic")),
    (
        (1, 1, 2, 2),
        {"size": 3, "mode": "lanczos", "align_corners": True},
        ArgumentError,
        "interpolate: Lanczos mode does not support align_corners=True.",
    ),
    (
        (1, 1, 2, 2),
        {"size": 3, "mode": "lanczos"},
        ArgumentError,
        "interpolate: Lanczos mode requires antialias=True.",
    ),
    (
        (1, 1, 0, 2),
        {"size": 3, "mode": "area"},
        ShapeError,
        (
            "interpolate: mode area expects an input with elements in its spatial dimensions and "
            "sizes of at least 0, but got input [1, 1, 0, 2] and sizes [3, 3]."
        ),
    ),
    (
        (1, 1, 2, 2),
        {"scale_factor": 0.1},
        ShapeError,
        (
            "interpolate: Input and output sizes should be greater than 0, but got input [2, 2] "
            "and output [0, 0]."
        ),
    ),
    (
        (1, 0, 2, 2),
        {"size": 3},
        ShapeError,
        "interpolate: Non-empty 4D data tensor expected but got a tensor with sizes [1, 0, 2, 2].",
    ),
]


@pytest.mark.parametrize(("shape", "options", "kind", "message"), REFUSED)
def test_refused(
    shape: tuple[int, ...], options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """The class and every word of the error."""
    with pytest.raises(kind) as caught:
        F.interpolate(backlit.zeros(*shape), **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("dtype", "shape", "mode"),
    [("int64", (1, 1, 2, 2), "nearest"), ("uint8", (1, 1, 2), "linear"),
     ("uint8", (1, 1, 2, 2), "area")],
)  # fmt: skip
def test_refused_dtypes(dtype: str, shape: tuple[int, ...], mode: str) -> None:
    """Whole numbers are not resampled, but for the bytes of images and the picking modes."""
    with pytest.raises(DtypeError) as caught:
        F.interpolate(backlit.zeros(*shape, dtype=getattr(backlit, dtype)), 3, mode=mode)
    assert str(caught.value) == (
        f"interpolate: mode {mode} of {len(shape)}D input is not implemented for {dtype}; convert "
        "the input with .float()."
    )
