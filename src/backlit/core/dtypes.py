"""Data types and the rules by which they combine (PyTorch's type promotion)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from backlit.errors import DtypeError


class dtype:  # noqa: N801 - PyTorch's public name is lower case
    """The type of a tensor's elements.

    >>> import backlit
    >>> backlit.float32.itemsize, backlit.float32.is_floating_point
    (4, True)
    """

    __slots__ = (
        "_numpy",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "name",
        "rank",
    )

    def __init__(self, name: str, rank: int, itemsize: int, kind: str) -> None:
        self.name = name
        self.rank = rank  # position in the promotion order
        self.itemsize = itemsize  # bytes
        self.is_floating_point = kind == "f"
        self.is_complex = False
        self.is_signed = kind in "fi"
        self._numpy: Any = None

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype that holds such elements (bfloat16 comes from ml_dtypes)."""
        if self._numpy is None:
            if self.name == "bfloat16":
                import ml_dtypes

                self._numpy = np.dtype(ml_dtypes.bfloat16)
            else:
                self._numpy = np.dtype(self.name)
        found: np.dtype[Any] = self._numpy
        return found

    @property
    def is_integer(self) -> bool:
        """Whether elements are whole numbers, bool excluded."""
        return not self.is_floating_point and self.rank > 0

    def to_complex(self) -> dtype:
        raise DtypeError(
            "complex dtypes are not supported by backlit; keep real and imaginary parts apart."
        )

    def __repr__(self) -> str:
        return f"backlit.{self.name}"

    def __reduce__(self) -> str:
        return _VARIABLE_OF[self.name]


# Ranks order the kinds bool < integers < floats, and the sizes within a kind.
bool_: Final = dtype("bool", 0, 1, "b")
uint8: Final = dtype("uint8", 1, 1, "u")
int8: Final = dtype("int8", 2, 1, "i")
int16: Final = dtype("int16", 3, 2, "i")
int32: Final = dtype("int32", 4, 4, "i")
int64: Final = dtype("int64", 5, 8, "i")
float16: Final = dtype("float16", 6, 2, "f")
bfloat16: Final = dtype("bfloat16", 7, 2, "f")
float32: Final = dtype("float32", 8, 4, "f")
float64: Final = dtype("float64", 9, 8, "f")

ALL: Final = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
_VARIABLE_OF: Final = {d.name: ("bool_" if d is bool_ else d.name) for d in ALL}
BY_NAME: Final = {d.name: d for d in ALL} | {
    "float": float32,
    "double": float64,
    "half": float16,
    "long": int64,
    "int": int32,
    "short": int16,
}
_FROM_NUMPY: Final = {np.dtype(d.name): d for d in ALL if d is not bfloat16}
_FROM_PYTHON: Final[dict[type, dtype]] = {bool: bool_, int: int64, float: float64}

_default = float32


def get_default_dtype() -> dtype:
    """The floating dtype that Python floats become (float32 unless changed).

    >>> import backlit
    >>> backlit.get_default_dtype()
    backlit.float32
    """
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make ``d`` the dtype that Python floats become.

    Raises:
        DtypeError: if ``d`` is not a floating dtype.
    """
    global _default
    if not (isinstance(d, dtype) and d.is_floating_point):
        raise DtypeError(f"set_default_dtype: only floating dtypes can be the default, got {d!r}.")
    _default = d


def from_numpy_dtype(d: Any) -> dtype:
    """Backlit's dtype for a NumPy dtype."""
    d = np.dtype(d)
    found = _FROM_NUMPY.get(d)
    if found is not None:
        return found
    if d.name == "bfloat16":
        return bfloat16
    same = _FROM_NUMPY.get(d.newbyteorder("="))
    if same is not None:
        return same
    hint = (
        "keep real and imaginary parts apart"
        if d.kind == "c"
        else "convert it to a supported dtype first, for example with array.astype(np.int64)"
    )
    raise DtypeError(f"NumPy dtype {d} is not supported by backlit; {hint}.")


def as_dtype(d: Any) -> dtype:
    """``d`` as a dtype: a dtype itself, or the Python types bool, int and float."""
    if isinstance(d, dtype):
        return d
    if d is bool:
        return bool_
    if d is int:
        return int64
    if d is float:
        return _default if _default is float64 else float32
    raise DtypeError(f"expected a dtype such as backlit.float32, got {d!r}.")


def of_number(x: bool | int | float) -> dtype:
    """The dtype that a Python number stands for before it meets a tensor."""
    return bool_ if isinstance(x, bool) else int64 if isinstance(x, int) else _default


def category(d: dtype) -> int:
    """0 for bool, 1 for integers, 2 for floats: what outranks what in promotion."""
    return 2 if d.is_floating_point else 1 if d.rank else 0


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that both convert to.

    >>> import backlit
    >>> backlit.promote_types(backlit.uint8, backlit.int8)
    backlit.int16
    """
    if a is b:
        return a
    if a.rank > b.rank:
        a, b = b, a
    if a is uint8 and b is int8:
        return int16
    if a is float16 and b is bfloat16:
        return float32
    return b


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a value of ``from_`` may be written into ``to`` (never float → int, nor any → bool).

    >>> import backlit
    >>> backlit.can_cast(backlit.float64, backlit.float32)
    True
    >>> backlit.can_cast(backlit.float32, backlit.int64)
    False
    """
    return category(from_) <= category(to)


class finfo:  # noqa: N801 - PyTorch's public name
    """Limits of a floating dtype: ``eps``, ``max``, ``min``, ``tiny``, ``smallest_normal``,
    ``resolution``.

    >>> import backlit
    >>> backlit.finfo(backlit.float32).bits
    32
    """

    def __init__(self, d: dtype | None = None) -> None:
        d = _default if d is None else d
        if not d.is_floating_point:
            raise DtypeError(f"finfo: {d!r} is not a floating dtype; use iinfo for integers.")
        if d is bfloat16:
            import ml_dtypes

            info: Any = ml_dtypes.finfo(d.numpy)  # type: ignore[no-untyped-call]
        else:
            info = np.finfo(d.numpy)
        self.dtype = d.name
        self.bits = d.itemsize * 8
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = float(info.tiny)
        self.smallest_normal = self.tiny
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's public name
    """Limits of an integer dtype: ``min``, ``max``, ``bits``.

    >>> import backlit
    >>> backlit.iinfo(backlit.int8)
    iinfo(min=-128, max=127, dtype=int8)
    """

    def __init__(self, d: dtype) -> None:
        if not d.is_integer:
            raise DtypeError(f"iinfo: {d!r} is not an integer dtype; use finfo for floats.")
        info = np.iinfo(d.numpy)
        self.dtype = d.name
        self.bits = d.itemsize * 8
        self.min = int(info.min)
        self.max = int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
