"""How a tensor prints: PyTorch's text, character for character, from a NumPy array.

The text is decided in three steps. One number format is chosen for the whole tensor, from the
values that will be shown (`choose_format`). The elements are laid out in nested brackets, with
`...` for what is left out (`format_array`). Suffixes name what the digits cannot tell: shape of an
empty tensor, dtype, `requires_grad`, `grad_fn` (`tensor_repr`).

Nothing here knows what a tensor is, so that arrays of the cold tier, of checkpoints and of error
messages print the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backlit.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "NumberFormat",
    "PrintOptions",
    "choose_format",
    "current_options",
    "format_array",
    "get_printoptions",
    "printoptions",
    "set_printoptions",
    "tensor_repr",
]

# Beyond these, fixed-point digits would be mostly zeros or mostly noise.
_LARGEST_RATIO = 1000.0
_LARGEST_FIXED = 1.0e8
_SMALLEST_FIXED = 1.0e-4


@dataclasses.dataclass(frozen=True, slots=True)
class PrintOptions:
    """What `set_printoptions` sets.

    Args:
        precision: digits after the point.
        threshold: a tensor with more elements than this is summarised.
        edgeitems: items shown at either end of each dimension of a summarised tensor.
        linewidth: characters per line; a row that is longer is broken.
        sci_mode: scientific notation always (True), never (False), or by the values (None).

    >>> PrintOptions(precision=2)
    PrintOptions(precision=2, threshold=1000, edgeitems=3, linewidth=80, sci_mode=None)
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}

_current = PrintOptions()


def current_options() -> PrintOptions:
    """The options in force.

    >>> current_options().linewidth
    80
    """
    return _current


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print from now on; what is None stays as it is.

    Args:
        precision: digits after the point.
        threshold: a tensor with more elements than this is summarised.
        edgeitems: items shown at either end of each dimension of a summarised tensor.
        linewidth: characters per line.
        profile: "default", "short" or "full", applied before the other arguments.
        sci_mode: True or False forces or forbids scientific notation. None does not keep what was
            set before: it goes back to deciding by the values, as in PyTorch.

    >>> set_printoptions(precision=2)
    >>> format_array(np.array([1.12345]))
    '[1.12]'
    >>> set_printoptions(profile="default")
    >>> format_array(np.array([1.12345]))
    '[1.1235]'
    """
    global _current
    if profile is not None and profile not in _PROFILES:
        known = ", ".join(repr(name) for name in _PROFILES)
        raise ArgumentError(f"set_printoptions: profile is {profile!r}; it must be one of {known}.")
    changes: dict[str, Any] = dict(_PROFILES[profile]) if profile is not None else {}
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    for name, value in given.items():
        if value is None:
            continue
        if value < 0:
            raise ArgumentError(f"set_printoptions: {name} is {value}; it must be 0 or more.")
        changes[name] = value
    _current = dataclasses.replace(_current, **changes, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The options in force as a dictionary that `set_printoptions` accepts as `**kwargs`.

    >>> get_printoptions()
    {'precision': 4, 'threshold': 1000, 'edgeitems': 3, 'linewidth': 80, 'sci_mode': None}
    """
    return dataclasses.asdict(_current)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Set print options inside a `with` block; the arguments are those of `set_printoptions`.

    >>> with printoptions(precision=1):
    ...     print(format_array(np.array([0.25, 1.5])))
    [0.2, 1.5]
    """
    global _current
    before = _current
    try:
        set_printoptions(**options)
        yield
    finally:
        _current = before


@dataclasses.dataclass(frozen=True, slots=True)
class NumberFormat:
    """One format for all elements of a tensor, so that columns line up.

    Args:
        style: "exact" for integers and booleans; "whole" for floats that are all integers (`3.`);
            "fixed" (`3.1416`); "scientific" (`3.1416e+00`).
        width: characters per element; shorter ones are padded on the left.
        precision: digits after the point.

    >>> NumberFormat("fixed", width=8, precision=2).text(3.14159)
    '    3.14'
    """

    style: Literal["exact", "whole", "fixed", "scientific"]
    width: int
    precision: int

    def text(self, value: float) -> str:
        """The element's characters, padded to the common width.

        >>> NumberFormat("whole", width=1, precision=4).text(float("nan"))
        'nan'
        """
        return self.digits(value).rjust(self.width)

    def digits(self, value: float) -> str:
        """The element's characters without padding.

        >>> NumberFormat("whole", width=6, precision=4).digits(-0.0)
        '-0.'
        """
        if self.style == "exact":
            return str(value)
        if self.style == "scientific":
            return f"{value:.{self.precision}e}"
        if self.style == "fixed":
            return f"{value:.{self.precision}f}"
        # The point says that the tensor is floating; nan and inf say so themselves.
        return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def choose_format(values: NDArray[Any], options: PrintOptions) -> NumberFormat:
    """The narrowest format that shows `values`, the elements that will be printed.

    Zeros, NaNs and infinities do not take part in the choice. Scientific notation is chosen where
    the largest magnitude is over 10⁸, the smallest under 10⁻⁴, or their ratio over 1000.

    >>> choose_format(np.array([0.001, 2.0]), PrintOptions())
    NumberFormat(style='scientific', width=10, precision=4)
    """
    flat = values.reshape(-1)
    if not is_floating(values):
        width = max((len(str(value)) for value in flat.tolist()), default=1)
        return NumberFormat("exact", width, options.precision)

    telling = flat[np.isfinite(flat) & (flat != 0)]
    if telling.size == 0:
        return NumberFormat("whole", 1, options.precision)
    style: Literal["whole", "fixed", "scientific"]
    if _is_scientific(telling, options):
        style = "scientific"
    elif np.array_equal(telling, np.ceil(telling)):
        style = "whole"
    else:
        style = "fixed"
    unpadded = NumberFormat(style, 1, options.precision)
    width = max(len(unpadded.digits(value)) for value in telling.tolist())
    return dataclasses.replace(unpadded, width=width)


def _is_scientific(values: NDArray[Any], options: PrintOptions) -> bool:
    if options.sci_mode is not None:
        return options.sci_mode
    # Python floats: their quotient overflows to inf without NumPy's warning.
    magnitudes = np.abs(values)
    largest, smallest = float(magnitudes.max()), float(magnitudes.min())
    return (
        largest / smallest > _LARGEST_RATIO
        or largest > _LARGEST_FIXED
        or smallest < _SMALLEST_FIXED
    )


def is_floating(array: NDArray[Any]) -> bool:
    """Whether the dtype is a float, those that NumPy itself does not know (bfloat16) included.

    >>> is_floating(np.zeros(2, np.float16)), is_floating(np.zeros(2, np.int8))
    (True, False)
    """
    return "float" in array.dtype.name


def format_array(
    array: NDArray[Any], options: PrintOptions | None = None, *, indent: int = 0
) -> str:
    """The elements in nested brackets: what stands between `tensor(` and the first suffix.

    Args:
        array: any shape; floats (bfloat16 included), integers or booleans.
        options: None for those in force.
        indent: column at which the text starts; the following lines are indented by it.

    >>> print(format_array(np.array([[1.0, 0.5], [-20.0, np.inf]])))
    [[  1.0000,   0.5000],
     [-20.0000,      inf]]
    """
    options = _current if options is None else options
    if array.size == 0:
        return "[]"
    if is_floating(array):
        # Exact for every narrower float, and Python formats doubles.
        array = array.astype(np.float64)
    summarize = array.size > options.threshold
    shown = _edges(array, options.edgeitems) if summarize else array
    number = choose_format(shown, options)
    return _brackets(array, indent, number, options, summarize)


def _edges(array: NDArray[Any], edgeitems: int) -> NDArray[Any]:
    """The elements a summary shows: `edgeitems` from either end of every dimension."""
    for dim, size in enumerate(array.shape):
        if size > 2 * edgeitems:
            ends = [*range(edgeitems), *range(size - edgeitems, size)]
            array = array.take(ends, axis=dim)
    return array


def _brackets(
    array: NDArray[Any],
    indent: int,
    number: NumberFormat,
    options: PrintOptions,
    summarize: bool,
) -> str:
    if array.ndim == 0:
        return number.text(array.item())
    edge = options.edgeitems
    cut = summarize and len(array) > 2 * edge
    parts = [array[:edge], array[len(array) - edge :]] if cut else [array]
    if array.ndim == 1:
        rows = [[number.text(value) for value in part.tolist()] for part in parts]
        # The ellipsis is set off by a blank, except where it stands alone.
        return _lines(_join(rows, " ..." if edge else "..."), indent, number.width, options)
    blocks = [
        [_brackets(item, indent + 1, number, options, summarize) for item in part] for part in parts
    ]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join(_join(blocks, "...")) + "]"


def _join(parts: Sequence[list[str]], ellipsis: str) -> list[str]:
    return parts[0] if len(parts) == 1 else [*parts[0], ellipsis, *parts[1]]


def _lines(items: list[str], indent: int, width: int, options: PrintOptions) -> str:
    """A row of elements, broken where it would exceed the line."""
    per_line = max(1, (options.linewidth - indent) // (width + len(", ")))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def tensor_repr(
    array: NDArray[Any],
    *,
    dtype_name: str,
    default_float_dtype_name: str,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    options: PrintOptions | None = None,
    type_name: str = "tensor",
) -> str:
    """The whole `repr` of a tensor.

    Args:
        array: the tensor's values.
        dtype_name: what is written after `dtype=`, as in "backlit.float16".
        default_float_dtype_name: the default dtype's name; a tensor of that dtype needs no suffix.
        requires_grad: whether the tensor requires a gradient (shown for leaves only).
        grad_fn_name: name of the function that made the tensor; None for a leaf.
        options: None for those in force.
        type_name: word before the parenthesis, a subclass's own name for instance.

    >>> names = {"dtype_name": "backlit.float16", "default_float_dtype_name": "backlit.float32"}
    >>> print(tensor_repr(np.array([1.0, 2.5], np.float16), requires_grad=True, **names))
    tensor([1.0000, 2.5000], dtype=backlit.float16, requires_grad=True)
    """
    options = _current if options is None else options
    prefix = f"{type_name}("
    suffixes: list[str] = []
    is_default = dtype_name == default_float_dtype_name
    if array.size == 0:
        # `[]` already says shape (0,), and says nothing about an integer dtype.
        hides_shape = array.ndim != 1
        shows_dtype = not is_default
    else:
        hides_shape = options.edgeitems == 0
        shows_dtype = not is_default and array.dtype not in (np.int64, np.bool_)
    if hides_shape:
        suffixes.append(f"size={array.shape}")
    if shows_dtype:
        suffixes.append(f"dtype={dtype_name}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    body = format_array(array, options, indent=len(prefix))
    return _with_suffixes(prefix + body, suffixes, len(prefix), options.linewidth)


def _with_suffixes(text: str, suffixes: list[str], indent: int, linewidth: int) -> str:
    # PyTorch counts two characters more than the last line has; its line breaks depend on it.
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + len(", ") > linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(", ") + len(suffix)
    return text + ")"
