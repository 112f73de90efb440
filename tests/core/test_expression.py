"""Scalar expressions: their NumPy text."""

from __future__ import annotations

import numpy as np
import pytest

from backlit.core.expression import Expression, NumpyMath, numpy_math
from backlit.ops import reference


@pytest.mark.parametrize("name", sorted(NumpyMath.own))
def test_own_functions_are_those_that_programs_find(name: str) -> None:
    """Each prints as ``ref.name`` and is there; NumPy lacks it, or ours differs at the edges."""
    assert str(getattr(numpy_math, name)(Expression("x"))) == f"ref.{name}(x)"
    assert callable(getattr(reference, name))


@pytest.mark.parametrize("name", ["exp", "where", "maximum"])
def test_other_functions_are_those_of_numpy(name: str) -> None:
    """What is not our own prints as ``np.name``."""
    assert str(getattr(numpy_math, name)(Expression("x"))) == f"np.{name}(x)"
    assert callable(getattr(np, name))
