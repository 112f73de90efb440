"""scikit-learn's MLPClassifier against ours: same architecture, solver, batch size and epochs."""

from __future__ import annotations

import importlib.util
import statistics
import time
import warnings
from typing import Any

import numpy as np

from benchmarks.measure import table

ROUNDS = 3


def digits() -> tuple[Any, Any]:
    """The 1797 handwritten digits."""
    from backlit import data

    digits = data.digits()
    return digits.x.numpy() / 16, digits.y.numpy()


def large() -> tuple[Any, Any]:
    """100,000 rows of 20 numbers, two classes by a curved border."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 20)).astype(np.float32)
    return x, (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] > 0).astype(int)


def fit_seconds(cls: Any, x: Any, y: Any, epochs: int) -> tuple[float, float, float]:
    """Seconds to fit, training accuracy, and loss."""
    model = cls((100,), batch_size=200, max_iter=epochs, tol=0.0, n_iter_no_change=epochs + 1)
    model.set_params(random_state=0)
    start = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - start
    return seconds, model.score(x, y), model.loss_


def sklearn_mlp() -> str:
    """Fit both on both tables, in single and double precision, in the tier that is set."""
    if importlib.util.find_spec("sklearn") is None:
        return "scikit-learn is not installed."
    from sklearn.neural_network import MLPClassifier as Theirs

    from backlit import config
    from backlit.sklearn import MLPClassifier as Ours

    rows: list[tuple[object, ...]] = []
    for name, make, epochs in (("digits", digits, 50), ("100,000 × 20", large, 3)):
        x, y = make()
        for dtype in (np.float64, np.float32):
            seconds: dict[Any, list[float]] = {Theirs: [], Ours: []}
            found: dict[Any, tuple[float, float]] = {}
            for _ in range(ROUNDS):
                for cls, times in seconds.items():
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        taken, *found[cls] = fit_seconds(cls, x.astype(dtype), y, epochs)
                    times.append(taken)
            theirs, ours = (statistics.median(times) for times in seconds.values())
            quality = [f"{found[cls][0]:.4f}, {found[cls][1]:.4f}" for cls in (Theirs, Ours)]
            label = f"{name}, {np.dtype(dtype).name}, {epochs} epochs"
            rows.append((label, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}", *quality))
    head = (
        f"fit, tier {config.get('tier')}", "scikit-learn, s", "backlit, s", "ratio",
        "scikit-learn accuracy, loss", "backlit accuracy, loss",
    )  # fmt: skip
    return table(head, rows)


SECTIONS = {"scikit-learn": sklearn_mlp}
