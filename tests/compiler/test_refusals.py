"""What the compiler refuses, and how an error that happens while a program runs is explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import ones, tensor
from backlit.compiler.source import Runner
from backlit.compiler.tiers import Compared
from backlit.core.program import extract
from backlit.errors import (
    ArgumentError,
    BacklitError,
    IndexOutOfRange,
    LinAlgError,
    VerificationError,
)


def of_two_recordings() -> None:
    first = ones(2) * 2
    backlit.flush()
    backlit.source(first, ones(2) * 2)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (backlit.source, "source(): give at least one tensor."),
    (
        lambda: backlit.source(tensor([1.0, 2.0])),
        (
            "source(): the tensor of shape (2,) holds data that was given, not computed; ask for "
            "the source of a result."
        ),
    ),
    (
        of_two_recordings,
        (
            "source(): the tensors were computed in different recordings; ask for each one's "
            "source separately."
        ),
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_source_refusals(call: Callable[[], Any], message: str) -> None:
    """Source is there for computed tensors of one recording."""
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


# -- errors that happen while a program runs -------------------------------------------------------


def explained(
    compute: Callable[[], Any], kind: type[BacklitError], before: str, after: str
) -> None:
    """The error that `compute` raises, with the place in this file between two texts."""
    with pytest.raises(kind) as caught:
        compute()
    message = str(caught.value)
    assert message.startswith(f"{before}), recorded at test_refusals.py:")
    assert message.endswith(f" {after}]")


@pytest.mark.usefixtures("one_tier")
def test_index_error_names_op_operands_and_place() -> None:
    """An index that is out of range is found when the program runs; the text leads to its line."""
    explained(
        lambda: tensor([1.0, 2.0]).index_select(0, tensor([5])).tolist(),
        IndexOutOfRange,
        "index 5 is out of bounds for dimension with size 2 [index(float32[2], int64[1]",
        "index_select",
    )


def test_error_of_an_op_keeps_its_class() -> None:
    """A singular matrix is a `LinAlgError`, with the place added."""
    explained(
        lambda: backlit.linalg.inv(backlit.zeros(2, 2)).tolist(),
        LinAlgError,
        (
            "linalg.inv: a matrix of the input (2, 2) is singular and has no inverse; "
            "linalg.pinv gives a pseudoinverse. [inv(float32[2, 2]"
        ),
        "linalg.inv",
    )


# -- both tiers compared ---------------------------------------------------------------------------


class Wrong:
    """A hot tier that makes a mistake."""

    def __init__(self, result: Any, *, writes: bool = False) -> None:
        self.result = result
        self.writes = writes

    def __call__(self, inputs: list[Any], scalars: list[Any]) -> Any:
        if self.writes:
            inputs[0][0] = 7
        return (self.result,)


def cold() -> Runner:
    """The cold tier of `x * x` for two elements."""
    x = tensor([1.0, 2.0])
    y = x * x
    assert y._era is not None
    return Runner(extract(y._era.here, (y._var.id,)))


def compared(plan: Any) -> str:
    """What the comparison of ``plan`` with the cold tier says."""
    backlit.flush()
    x = np.array([1, 2], np.float32)
    with pytest.raises(VerificationError) as caught:
        Compared(plan, cold())([x], [])
    return str(caught.value)


def test_tiers_that_agree() -> None:
    """The comparison returns what the hot tier gave."""
    backlit.flush()
    right = np.array([1, 4], np.float32)
    (found,) = Compared(Wrong(right), cold())([np.array([1, 2], np.float32)], [])
    assert found is right


def test_tiers_that_differ_in_dtype_or_shape() -> None:
    """Another dtype or shape is a difference even where the numbers are equal."""
    assert compared(Wrong(np.array([1.0, 4.0]))) == (
        "output 0: the hot tier gives float64(2,), the cold tier float32(2,)."
    )
    assert compared(Wrong(np.array([[1, 4]], np.float32))) == (
        "output 0: the hot tier gives float32(1, 2), the cold tier float32(2,)."
    )


def test_tiers_that_differ_in_numbers() -> None:
    """The message shows the source that the cold tier ran."""
    message = compared(Wrong(np.array([1, 5], np.float32)))
    assert message.startswith("output 0 float32(2,): the tiers differ.\nimport numpy as np\n")
    assert "v0 = x0 * x0" in message


def test_hot_tier_that_writes_to_an_array_in_use() -> None:
    """An input that somebody else holds must be as it was."""
    right = np.array([1, 4], np.float32)
    assert compared(Wrong(right, writes=True)) == (
        "input 0: the hot tier wrote to an array in use."
    )
