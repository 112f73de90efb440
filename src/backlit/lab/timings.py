"""How long things take here: backward against forward, batches and products against loops.

Times are the least of several runs, in seconds: what else the machine does only adds to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import backlit.functions as ops
from backlit.core.era import flush, realize
from backlit.core.tensor import Array, Tensor
from backlit.errors import ShapeError


@dataclass(frozen=True)
class Timing:
    """Two ways, their times in seconds, and what they computed.

    Attributes:
        names: what the two ways are called.
        seconds: how long each took.
        results: what each computed; for a forward and a backward pass, outputs and gradients.
    """

    names: tuple[str, str]
    seconds: tuple[float, float]
    results: tuple[Any, Any]

    @property
    def ratio(self) -> float:
        """How many times as long the second one took as the first."""
        return self.seconds[1] / self.seconds[0]

    def __str__(self) -> str:
        room = max(map(len, self.names)) + 2
        rows = [
            f"{name:<{room}}{seconds * 1e6:>12,.1f} µs"
            for name, seconds in zip(self.names, self.seconds, strict=True)
        ]
        return "\n".join([*rows, f"{self.names[1]} / {self.names[0]}: {self.ratio:.2f}"])

    __repr__ = __str__


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = run()
    # A clock may stand still for shorter than its tick
    return max(time.perf_counter() - start, time.get_clock_info("perf_counter").resolution), found


def pass_times(
    model: Callable[[Tensor], Tensor], x: Tensor, parameters: list[Tensor], *, repeats: int = 20
) -> Timing:
    """How long ``model(x)`` takes, and the backward pass from the sum of its squares.

    A backward pass has two matrix products for each one of the forward pass, so twice its
    multiply-adds; the ratio of the times comes near that where products dominate.

    >>> import backlit
    >>> from backlit import nn
    >>> layer = nn.Linear(3, 2)
    >>> found = pass_times(layer, backlit.ones(4, 3), list(layer.parameters()), repeats=2)
    >>> found.names, found.ratio > 0
    (('forward', 'backward'), True)
    """
    best = [float("inf"), float("inf")]
    out = x
    gradients: list[Tensor | None] = []

    def forward() -> Tensor:
        made = model(x)
        flush()
        return made

    def backward() -> list[Tensor | None]:
        from backlit.autograd import grad

        made = list(grad(out.square().sum(), parameters))
        flush()
        return made

    for _ in range(repeats):
        seconds, out = _timed(forward)
        best[0] = min(best[0], seconds)
        seconds, gradients = _timed(backward)
        best[1] = min(best[1], seconds)
    return Timing(("forward", "backward"), (best[0], best[1]), (out, gradients))


def batch_times(model: Callable[[Tensor], Tensor], x: Tensor, *, repeats: int = 5) -> Timing:
    """How long ``model`` takes for all rows of ``x`` at once, and row by row.

    >>> import backlit
    >>> from backlit import nn
    >>> batch_times(nn.Linear(3, 2), backlit.ones(4, 3), repeats=1).names
    ('batch', 'row by row')
    """
    rows = [x[i] for i in range(len(x))]
    flush()
    return _compared(
        ("batch", "row by row"),
        lambda: realize(model(x)),
        lambda: np.stack([realize(model(row)) for row in rows]),
        repeats,
    )


def product_times(a: Tensor, b: Tensor, *, repeats: int = 5) -> Timing:
    """How long ``matmul(a, b)`` takes, and three loops over the same numbers.

    The result has the rows of ``a`` and the columns of ``b``: a loop that starts from zeros in the
    shape of ``a`` is right for square matrices only.

    Raises:
        ShapeError: if ``a`` and ``b`` are not matrices that can be multiplied.

    >>> import backlit
    >>> found = product_times(backlit.ones(2, 3), backlit.ones(3, 4), repeats=1)
    >>> found.results[1].shape
    (2, 4)
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ShapeError(
            f"product_times: a must be (n, k) and b (k, m), got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    rows, columns = realize(a).tolist(), realize(b).tolist()

    def loops() -> Array:
        c = np.zeros((a.shape[0], b.shape[1]))
        for i in range(a.shape[0]):
            for j in range(b.shape[1]):
                for k in range(a.shape[1]):
                    c[i, j] += rows[i][k] * columns[k][j]
        return c

    return _compared(("matmul", "three loops"), lambda: realize(ops.matmul(a, b)), loops, repeats)


def _compared(
    names: tuple[str, str], first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> Timing:
    runs = [[_timed(way) for _ in range(repeats)] for way in (first, second)]
    seconds = [min(s for s, _ in way) for way in runs]
    return Timing(names, (seconds[0], seconds[1]), (runs[0][-1][1], runs[1][-1][1]))
