"""Reductions and normalisations of the elements that a mask selects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import backlit
from backlit import errors, masked

arrays = hnp.arrays(np.float64, (3, 4), elements=st.integers(-8, 8).map(lambda n: n / 4))
masks = hnp.arrays(np.bool_, (3, 4))
NEUTRAL = {"sum": 0.0, "prod": 1.0, "amax": -np.inf, "amin": np.inf}


@pytest.mark.parametrize("name", NEUTRAL)
@given(arrays, masks)
def test_masked_reduction_is_that_of_the_selected(name: str, x: Any, mask: Any) -> None:
    """Reducing what a mask selects equals reducing the selected elements alone."""
    found = getattr(masked, name)(backlit.tensor(x), 1, mask=backlit.tensor(mask)).tolist()
    for row, chosen, value in zip(x, mask, found, strict=True):
        alone = getattr(backlit.tensor(row[chosen]), name)() if chosen.any() else None
        assert value == (NEUTRAL[name] if alone is None else pytest.approx(alone.item()))


@pytest.mark.parametrize("name", ["mean", "var", "std", "median", "logsumexp", "norm"])
@given(arrays, masks)
def test_masked_statistic_is_that_of_the_selected(name: str, x: Any, mask: Any) -> None:
    """Statistics of what a mask selects are those of the selected elements alone."""
    dims = {"norm": (2.0, 1)}.get(name, (1,))
    found = getattr(masked, name)(backlit.tensor(x), *dims, mask=backlit.tensor(mask)).tolist()
    for row, chosen, value in zip(x, mask, found, strict=True):
        if chosen.sum() > 1:
            args = (0,) if name == "logsumexp" else ()
            alone = getattr(backlit.tensor(row[chosen]), name)(*args)
            assert value == pytest.approx(alone.item(), abs=1e-9)


@given(arrays, masks)
def test_masked_softmax_is_that_of_the_selected(x: Any, mask: Any) -> None:
    """Unselected elements have no share; those of the others add up to 1."""
    t, m = backlit.tensor(x), backlit.tensor(mask)
    for name in ("softmax", "softmin"):
        shares = np.nan_to_num(getattr(masked, name)(t, 1, mask=m).numpy())
        assert (shares[~mask] == 0).all()
        np.testing.assert_allclose(shares.sum(1), mask.any(1))
    logs = masked.log_softmax(t, 1, mask=m).numpy()
    np.testing.assert_allclose(np.exp(logs[mask]), masked.softmax(t, 1, mask=m).numpy()[mask])


def test_masked_scans_places_and_units() -> None:
    """Scans skip, places are found among, and unit vectors are made of the selected."""
    x, m = backlit.tensor([3.0, 9.0, 4.0]), backlit.tensor([True, False, True])
    assert masked.cumsum(x, 0, mask=m).tolist() == [3.0, 3.0, 7.0]
    assert masked.cumprod(x, 0, mask=m).tolist() == [3.0, 3.0, 12.0]
    assert (masked.argmax(x, 0, mask=m).item(), masked.argmin(x, 0, mask=m).item()) == (2, 0)
    unit = masked.normalize(x, 2.0, 0, mask=m)
    np.testing.assert_allclose(unit.numpy(), [0.6, 0, 0.8], rtol=1e-6)
    only = masked.logaddexp(x, x, input_mask=m, other_mask=~m)
    assert only.tolist() == x.tolist()


def test_integers_take_their_own_extremes() -> None:
    """Nothing selected among integers: the largest is the smallest integer."""
    x, m = backlit.tensor([3, 9]), backlit.tensor([False, False])
    assert masked.amax(x, 0, mask=m).item() == backlit.iinfo(backlit.int64).min
    assert masked.sum(x, mask=m).item() == 0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: masked.sum(backlit.zeros(2), mask=backlit.tensor([[True, False]])),
            errors.ShapeError,
            ("masked.sum: expected mask.ndim <= input.ndim, got mask (1, 2) for input (2,)."),
        ),
        (
            lambda: masked.mean(backlit.tensor([1, 2])),
            errors.DtypeError,
            (
                "masked.mean(): Could not infer output dtype. Input dtype must be a floating "
                "point dtype. Got: int64; give dtype=."
            ),
        ),
        (
            lambda: masked.median(backlit.tensor([1, 2])),
            errors.DtypeError,
            "masked.median: expected a floating point input, got int64; give dtype=.",
        ),
        (
            lambda: masked.var(backlit.zeros(2), 0, True, correction=1),
            errors.ArgumentError,
            "masked.var: give unbiased or correction, not both.",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """What cannot be done is refused with the whole reason."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
