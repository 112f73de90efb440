"""Type promotion agrees with PyTorch for every pair of dtypes, every rank, and Python numbers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit.core.dtypes import ALL

torch = pytest.importorskip("torch")

NAMES = [d.name for d in ALL]
NUMBERS = (True, 2, 2.5)

OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda lib, x, y: x + y,
    "add alpha": lambda lib, x, y: lib.add(x, y, alpha=True),
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x * y,
    "div": lambda lib, x, y: x / y,
    "div trunc": lambda lib, x, y: lib.div(x, y, rounding_mode="trunc"),
    "floor_divide": lambda lib, x, y: x // y,
    "remainder": lambda lib, x, y: x % y,
    "pow": lambda lib, x, y: x**y,
    "float_power": lambda lib, x, y: lib.float_power(x, y),
    "eq": lambda lib, x, y: x == y,
    "lt": lambda lib, x, y: x < y,
    "bitwise_and": lambda lib, x, y: x & y,
    "where": lambda lib, x, y: lib.where(lib.tensor([True, False]), x, y),
    "clamp": lambda lib, x, y: lib.clamp(x, y),
    "xlogy": lambda lib, x, y: lib.xlogy(x, y),
}
# PyTorch returns a bool tensor to the power True, but refuses bool powers otherwise.
KNOWN = {("pow", "bool[1d], True"), ("pow", "bool[0d], True")}
# Reflected: the number comes first.
REFLECTED = ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "float_power", "where")


def tensor(lib: Any, name: str, rank: int) -> Any:
    """A tensor of small positive numbers, of rank 0 or 1."""
    data = 1 if rank == 0 else [1, 3]
    return lib.tensor(data, dtype=getattr(lib, name))


def outcome(
    lib: Any,
    call: Callable[[Any, Any, Any], Any],
    first: Callable[[Any], Any],
    second: Callable[[Any], Any],
) -> tuple[str, Any]:
    """The dtype and the values of a result, or the fact that it was refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = call(lib, first(lib), second(lib))
    except (TypeError, RuntimeError, NotImplementedError) as error:
        return "refused", f"{type(error).__name__}: {error}"
    return str(found.dtype).rpartition(".")[2], found.tolist()


def pairs(operation: str) -> Iterator[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]:
    """Every pair of operands: a description, and for each library how to make the two."""
    for a, b, ranks in itertools.product(NAMES, NAMES, ((1, 1), (1, 0), (0, 1), (0, 0))):
        yield (
            f"{a}[{ranks[0]}d], {b}[{ranks[1]}d]",
            lambda lib, a=a, r=ranks[0]: tensor(lib, a, r),
            lambda lib, b=b, r=ranks[1]: tensor(lib, b, r),
        )
    for a, rank, x in itertools.product(NAMES, (1, 0), NUMBERS):
        yield f"{a}[{rank}d], {x}", lambda lib, a=a, r=rank: tensor(lib, a, r), lambda lib, x=x: x
        if operation in REFLECTED:
            yield (
                f"{x}, {a}[{rank}d]",
                lambda lib, x=x: x,
                lambda lib, a=a, r=rank: tensor(lib, a, r),
            )


def same(ours: tuple[str, Any], theirs: tuple[str, Any]) -> bool:
    """Equal dtypes, and values equal to the precision of that dtype."""
    if ours[0] != theirs[0]:
        return False
    if theirs[0] == "refused":
        return True
    tolerance = {"bfloat16": 1e-2, "float16": 2e-3, "float32": 1e-5}.get(theirs[0], 1e-12)
    return bool(np.allclose(ours[1], theirs[1], rtol=tolerance, atol=0, equal_nan=True))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_promotion_is_pytorchs(operation: str) -> None:
    """Dtype and value of a result are PyTorch's, and what PyTorch refuses is refused."""
    call = OPERATIONS[operation]
    wrong = []
    for name, first, second in pairs(operation):
        ours = outcome(backlit, call, first, second)
        theirs = outcome(torch, call, first, second)
        if not same(ours, theirs) and (operation, name) not in KNOWN:
            wrong.append(f"{name}: {ours}, PyTorch has {theirs}")
    assert wrong == []


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_a_python_float_counts_as_the_default_dtype(name: str) -> None:
    """Whole numbers meet Python floats in the default dtype."""
    before = backlit.get_default_dtype()
    backlit.set_default_dtype(getattr(backlit, name))
    try:
        assert (backlit.tensor([1, 2]) * 0.5).dtype is getattr(backlit, name)
        assert backlit.exp(backlit.tensor([1, 2])).dtype is getattr(backlit, name)
    finally:
        backlit.set_default_dtype(before)
