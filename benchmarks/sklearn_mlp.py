"""scikit-learn's MLPClassifier against ours: same architecture, solver, batch size and epochs."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import ratio, table, times_faster, turns

ROUNDS = 3
THREADS, ONE_THREAD = "scikit-learn", "scikit-learn, one BLAS thread"


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


def fitted(cls: Any, x: Any, y: Any, epochs: int) -> Any:
    """A model of this class after some epochs in batches of 200."""
    model = cls((100,), batch_size=200, max_iter=epochs, tol=0.0, n_iter_no_change=epochs + 1)
    return model.set_params(random_state=0).fit(x, y)


def in_one_thread(fit: Callable[[], object]) -> Callable[[], object]:
    """The same fit while NumPy's BLAS has one thread."""
    from threadpoolctl import threadpool_limits

    def limited() -> object:
        with threadpool_limits(1, user_api="blas"):
            return fit()

    return limited


def sklearn_mlp() -> str:
    """Fit both on both tables, in single and double precision, in the tier that is set.

    On products as small as these, OpenBLAS's threads help little, and take ten times as long when
    anything else runs. So scikit-learn has a turn with one thread, too, and the better one counts.
    """
    if importlib.util.find_spec("sklearn") is None:
        return "scikit-learn is not installed."
    from sklearn.neural_network import MLPClassifier as Theirs

    from backlit import config
    from backlit.sklearn import MLPClassifier as Ours

    rows: list[tuple[object, ...]] = []
    for name, make, epochs in (("digits", digits, 50), ("100,000 × 20", large, 3)):
        table_x, y = make()
        for dtype in (np.float64, np.float32):
            x = table_x.astype(dtype)
            theirs, ours = (partial(fitted, cls, x, y, epochs) for cls in (Theirs, Ours))
            contenders = {THREADS: theirs, ONE_THREAD: in_one_thread(theirs), "backlit": ours}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                times = turns(contenders, calls=1, repeats=ROUNDS, warmup=0)
                models = theirs(), ours()
            seconds = [f"{median(times[name]):.2f}" for name in contenders]
            found = times_faster(ratio(times, "backlit", (THREADS, ONE_THREAD)))
            quality = [f"{model.score(x, y):.4f}, {model.loss_:.4f}" for model in models]
            label = f"{name}, {np.dtype(dtype).name}, {epochs} epochs"
            rows.append((label, *seconds, found, *quality))
    head = (
        f"fit, tier {config.get('tier')}", f"{THREADS}, s", f"{ONE_THREAD}, s", "backlit, s",
        "ratio", "scikit-learn accuracy, loss", "backlit accuracy, loss",
    )  # fmt: skip
    return table(head, rows)


SECTIONS = {"scikit-learn": sklearn_mlp}
