"""NumPy source holds on to large temporaries no longer than needed."""

from __future__ import annotations

import tracemalloc

import numpy as np

import backlit
from backlit import config
from backlit.compiler.source import LARGE


def test_large_temporaries_are_given_up() -> None:
    """A chain of operations on large arrays needs memory for a few of them, not for all."""
    array = np.ones(LARGE // 8)
    with config.flags(tier="cold"):
        backlit.flush()
        x = backlit.from_numpy(array)
        y = x
        for _ in range(20):
            y = (y * 0.5).tanh()
        tracemalloc.start()
        backlit.flush()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5 * array.nbytes
    expected = 1.0
    for _ in range(20):
        expected = np.tanh(expected * 0.5)
    np.testing.assert_allclose(y.numpy(), expected)


def test_source_gives_up_large_temporaries_only() -> None:
    """`del` is written after the last use of what is large, and results are kept."""
    for size, expected in ((LARGE // 4, ["del v0", "del v1", "del v2"]), (8, [])):
        x = backlit.ones(size)
        backlit.flush()
        y = (x * 2.0).exp()
        z = (y * y).sum()
        text = backlit.source(z)
        found = [line.strip() for line in text.splitlines() if line.strip().startswith("del ")]
        assert found == expected, text
        backlit.flush()
        assert backlit.isfinite(z)
