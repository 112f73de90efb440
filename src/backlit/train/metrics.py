"""Metrics that stream: updated batch by batch, exact over all samples whatever the batches.

`update` records tensor operations and reads nothing, so that a training step that also counts its
hits is still one program. `compute` reads the result.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlit.autograd import no_grad
from backlit.core.create import from_array
from backlit.core.dtypes import float64, int64
from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]


class Metric:
    """Base class: subclasses name their sums in `sums` and define `add` and `compute`.

    Attributes:
        name: the column's name in the history.
        rising: whether larger is better.

    A metric can also be called with all outputs and targets at once.

    >>> class Bias(Metric):
    ...     name = "bias"
    ...     def add(self, output, target):
    ...         self.total("error", (output - target).sum())
    ...         self.total("n", output.numel())
    ...     def compute(self):
    ...         return self.sum("error") / self.sum("n")
    >>> Bias()(backlit.tensor([1.0, 2.0]), backlit.tensor([1.0, 1.0]))
    0.5
    """

    name = "metric"
    rising = False

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}

    def reset(self) -> None:
        """Forget all samples."""
        with no_grad():
            for total in self._sums.values():
                total.zero_()

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take in one batch."""
        with no_grad():
            self.add(output.detach(), target)

    def add(self, output: Tensor, target: Tensor) -> None:
        """Add one batch to the sums, by `total`."""
        raise NotImplementedError(
            f"{type(self).__name__}: a Metric must define add(output, target)."
        )

    def compute(self) -> Any:
        """The value over all samples seen so far."""
        raise NotImplementedError(f"{type(self).__name__}: a Metric must define compute().")

    def total(self, name: str, amount: Any) -> None:
        """Add a tensor or a number to the sum `name`, which is kept in place."""
        is_tensor = isinstance(amount, Tensor)
        is_real = amount.dtype.is_floating_point if is_tensor else isinstance(amount, float)
        d = float64 if is_real else int64
        if name not in self._sums:  # zeros: so that the first batch is recorded as all others
            shape = tuple(amount.shape) if is_tensor else ()
            self._sums[name] = from_array(np.zeros(shape, d.numpy))
        self._sums[name].add_(amount.to(d) if is_tensor else amount)

    def sum(self, name: str) -> Any:
        """The sum `name` as a number or an array; 0 if nothing was added."""
        value = self._sums.get(name)
        if value is None:
            return 0
        array = realize(value)
        return array.item() if array.ndim == 0 else np.array(array)

    def __call__(self, output: Any, target: Any) -> Any:
        """The value for these samples alone."""
        fresh = self.clone()
        fresh.update(as_tensor(output), as_tensor(target))
        return fresh.compute()

    def clone(self) -> Metric:
        """A metric with the same options that has seen nothing."""
        made = copy.copy(self)
        made._sums = {}
        return made

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {name: total.clone() for name, total in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from sums that `state_dict` gave."""
        self._sums = {name: as_tensor(total).clone() for name, total in state.items()}


def as_tensor(values: Any) -> Tensor:
    """A tensor as it is; anything else through NumPy."""
    return values if isinstance(values, Tensor) else from_array(np.asarray(values))


def classes_of(output: Tensor, target: Tensor, threshold: float, owner: str) -> tuple[Any, Any]:
    """Predicted and true class numbers, flat.

    (N, C, …) against class numbers (N, …): the largest score. Equal shapes with C > 1 columns: the
    largest of each row (one-hot or probability targets). Equal shapes with one column or none, or
    (N, 1) against (N,): binary, a score above `threshold` is class 1.
    """
    if output.ndim == target.ndim + 1 and output.shape[1] > 1:
        if (output.shape[0], *output.shape[2:]) == tuple(target.shape):
            return output.argmax(1).flatten(), target.flatten()
    elif output.shape == target.shape and output.ndim > 1 and output.shape[1] > 1:
        return output.argmax(1).flatten(), target.argmax(1).flatten()
    elif output.shape == target.shape or tuple(output.shape) == (*target.shape, 1):
        return (output > threshold).flatten().to(int64), target.flatten() > 0.5
    raise ShapeError(
        f"{owner}: outputs {tuple(output.shape)} do not fit targets {tuple(target.shape)}; "
        "expected scores (N, C) with class numbers (N,) or rows (N, C), or one score per sample "
        "with targets of 0 and 1."
    )


class Accuracy(Metric):
    """The share of samples whose class is predicted: mean [ŷ = y].

    Args:
        threshold: for binary outputs, the score above which class 1 is predicted: 0 for logits,
            0.5 for probabilities.

    >>> scores = backlit.tensor([[2.0, 1.0], [0.0, 3.0]])
    >>> Accuracy()(scores, backlit.tensor([0, 0]))
    0.5
    """

    name = "accuracy"
    rising = True

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def add(self, output: Tensor, target: Tensor) -> None:
        predicted, true = classes_of(output, target, self.threshold, "Accuracy")
        self.total("hits", (predicted == true).sum())
        self.total("n", predicted.numel())

    def compute(self) -> float:
        return ratio(self.sum("hits"), self.sum("n"))


class TopKError(Metric):
    """The share of samples whose class is not among the k highest scores (top-5 error: k = 5).

    Equal scores rank by class number; NaN scores rank first and a target with one is wrong.

    >>> scores = backlit.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> TopKError(k=2)(scores, backlit.tensor([1, 2]))
    0.5
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise ArgumentError(f"TopKError: k must be a positive integer, got {k!r}.")
        self.k = k
        self.name = f"top{k}_error"

    def add(self, output: Tensor, target: Tensor) -> None:
        if output.ndim != 2 or tuple(target.shape) != (output.shape[0],):
            raise ShapeError(
                f"TopKError: expected scores (N, C) and class numbers (N,), got "
                f"{tuple(output.shape)} and {tuple(target.shape)}."
            )
        own = output.gather(1, target[:, None])
        column = from_array(np.arange(output.shape[1]))
        tied = (output == own) & (column < target[:, None])
        ahead = (~(output <= own) | tied).sum(1)
        self.total("wrong", (ahead >= self.k).sum())
        self.total("n", output.shape[0])

    def compute(self) -> float:
        return ratio(self.sum("wrong"), self.sum("n"))


class ConfusionMatrix(Metric):
    """How often class i (row) was predicted as class j (column), (C, C) of int64.

    Args:
        classes: C; by default the number of columns of the scores, 2 for binary outputs.

    >>> scores = backlit.tensor([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0]])
    >>> ConfusionMatrix()(scores, backlit.tensor([0, 0, 1])).tolist()
    [[1, 1], [0, 1]]
    """

    name = "confusion"

    def __init__(self, classes: int | None = None, threshold: float = 0.0) -> None:
        super().__init__()
        self.classes = classes
        self.threshold = threshold

    def add(self, output: Tensor, target: Tensor) -> None:
        predicted, true = classes_of(output, target, self.threshold, type(self).__name__)
        n = self.classes or number_of_classes(output)
        cell = true.to(int64) * n + predicted
        ones = from_array(np.ones(cell.shape, np.int64))
        counts = from_array(np.zeros(n * n, np.int64)).scatter_add(0, cell, ones)
        self.total("counts", counts.reshape(n, n))

    def counts(self) -> Array:
        """The matrix so far."""
        counts = self.sum("counts")
        size = self.classes or 0
        return counts if isinstance(counts, np.ndarray) else np.zeros((size, size), np.int64)

    def compute(self) -> Any:
        return self.counts()


def number_of_classes(output: Tensor) -> int:
    """The columns of the scores; 2 for binary outputs."""
    return output.shape[1] if output.ndim > 1 and output.shape[1] > 1 else 2


class PrecisionRecallF1(ConfusionMatrix):
    """Base of the three: one value per class, averaged.

    Args:
        average: "macro" (mean over the classes that occur), "weighted" (by their numbers),
            "micro" (over all samples), "binary" (class 1 alone), or "none" (all values).

    A class without predictions has precision 0, one without samples recall 0.
    """

    name = "score"
    rising = True

    def __init__(
        self, average: str = "macro", classes: int | None = None, threshold: float = 0.0
    ) -> None:
        super().__init__(classes, threshold)
        if average not in AVERAGES:
            raise ArgumentError(
                f"{type(self).__name__}: average must be one of {', '.join(AVERAGES)}, "
                f"got {average!r}."
            )
        self.average = average

    def score(self, hits: Any, predicted: Any, actual: Any) -> Any:
        """The value from counts of correct predictions, of predictions, and of samples."""
        raise NotImplementedError(f"{type(self).__name__}: define score(hits, predicted, actual).")

    def compute(self) -> Any:
        counts = self.counts()
        hits, predicted, actual = np.diag(counts), counts.sum(0), counts.sum(1)
        if self.average == "micro":
            return float(self.score(hits.sum(), predicted.sum(), actual.sum()))
        per_class = self.score(hits, predicted, actual)
        if self.average == "none":
            return per_class
        if self.average == "binary":
            if len(counts) != 2:
                raise ArgumentError(
                    f"{type(self).__name__}: average='binary' needs two classes, got "
                    f"{len(counts)}; use 'macro', 'micro', 'weighted' or 'none'."
                )
            return float(per_class[1])
        weight = actual if self.average == "weighted" else (predicted + actual > 0).astype(float)
        return ratio(float((per_class * weight).sum()), float(weight.sum()))


AVERAGES = ("macro", "micro", "weighted", "binary", "none")


class Precision(PrecisionRecallF1):
    """Of the samples predicted as a class, the share that is of it: TP / (TP + FP).

    >>> Precision("binary")(backlit.tensor([1.0, 1.0, -1.0]), backlit.tensor([1.0, 0.0, 1.0]))
    0.5
    """

    name = "precision"

    def score(self, hits: Any, predicted: Any, actual: Any) -> Any:
        return quotient(hits, predicted)


class Recall(PrecisionRecallF1):
    """Of the samples of a class, the share that is predicted as it: TP / (TP + FN).

    >>> Recall("binary")(backlit.tensor([1.0, 1.0, 1.0]), backlit.tensor([1.0, 0.0, 1.0]))
    1.0
    """

    name = "recall"

    def score(self, hits: Any, predicted: Any, actual: Any) -> Any:
        return quotient(hits, actual)


class F1(PrecisionRecallF1):
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    >>> F1("binary")(backlit.tensor([1.0, 1.0, -1.0]), backlit.tensor([1.0, 0.0, 1.0]))
    0.5
    """

    name = "f1"

    def score(self, hits: Any, predicted: Any, actual: Any) -> Any:
        return quotient(2 * hits, predicted + actual)


class Regression(Metric):
    """Base of the metrics of predicted numbers: outputs and targets of one shape."""

    def differences(self, output: Tensor, target: Tensor) -> Tensor:
        """Output − target in float64; (N,) is taken as (N, 1) on either side."""
        if output.shape != target.shape:
            if not {tuple(output.shape), tuple(target.shape)} == {
                (output.shape[0],),
                (output.shape[0], 1),
            }:
                raise ShapeError(
                    f"{type(self).__name__}: outputs {tuple(output.shape)} and targets "
                    f"{tuple(target.shape)} must have one shape."
                )
            output, target = output.flatten(), target.flatten()
        return output.to(float64) - target.to(float64)


class MSE(Regression):
    """Mean squared error: mean (ŷ − y)².

    >>> MSE()(backlit.tensor([1.0, 3.0]), backlit.tensor([1.0, 1.0]))
    2.0
    """

    name = "mse"

    def add(self, output: Tensor, target: Tensor) -> None:
        self.total("squares", self.differences(output, target).square().sum())
        self.total("n", output.numel())

    def compute(self) -> float:
        return ratio(self.sum("squares"), self.sum("n"))


class MAE(Regression):
    """Mean absolute error: mean |ŷ − y|.

    >>> MAE()(backlit.tensor([1.0, 3.0]), backlit.tensor([1.0, 1.0]))
    1.0
    """

    name = "mae"

    def add(self, output: Tensor, target: Tensor) -> None:
        self.total("sizes", self.differences(output, target).abs().sum())
        self.total("n", output.numel())

    def compute(self) -> float:
        return ratio(self.sum("sizes"), self.sum("n"))


class R2(Regression):
    """The share of the targets' variance that is explained: 1 − Σ(ŷ − y)² / Σ(y − ȳ)².

    Several columns are averaged. A constant column counts 1 if it is met exactly, else 0.

    >>> R2()(backlit.tensor([1.0, 2.0, 3.0]), backlit.tensor([1.0, 2.0, 4.0])) > 0.7
    True
    """

    name = "r2"
    rising = True

    def add(self, output: Tensor, target: Tensor) -> None:
        error = self.differences(output, target)
        y = target.to(float64).reshape(error.shape)
        if "shift" not in self._sums:
            self._sums["shift"] = y.mean(0)  # keeps Σy² − (Σy)²/n from losing digits
        y = y - self._sums["shift"]
        self.total("errors", error.square().sum(0))
        self.total("values", y.sum(0))
        self.total("squares", y.square().sum(0))
        self.total("n", y.shape[0])

    def compute(self) -> float:
        n = self.sum("n")
        if not n:
            return math.nan
        values, squares = np.asarray(self.sum("values")), np.asarray(self.sum("squares"))
        around_mean = squares - values**2 / n
        # What rounding leaves of a constant column is no variance.
        around_mean = np.where(around_mean > 1e-12 * squares, around_mean, 0.0)
        errors = np.asarray(self.sum("errors"))
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = 1 - errors / around_mean
        constant = np.where(errors == 0, 1.0, 0.0)
        return float(np.where(around_mean > 0, explained, constant).mean())


def ratio(part: float, whole: float) -> float:
    """part / whole, NaN for nothing at all."""
    return part / whole if whole else math.nan


def quotient(part: Any, whole: Any) -> Any:
    """part / whole with 0 / 0 = 0, for arrays too."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "confusion": ConfusionMatrix,
    "f1": F1,
    "mae": MAE,
    "mse": MSE,
    "precision": Precision,
    "r2": R2,
    "recall": Recall,
    "top5_error": TopKError,
}


def as_metrics(metrics: Any) -> list[Metric]:
    """Fresh metrics for a metric, a name, or a list of them.

    Raises:
        ArgumentError: an unknown name, or something that is not a metric.
    """
    if metrics is None:
        return []
    listed = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
    found = []
    for metric in listed:
        if isinstance(metric, str) and metric in NAMED:
            found.append(NAMED[metric]())
        elif isinstance(metric, Metric):
            found.append(metric.clone())
        else:
            raise ArgumentError(
                f"metric {metric!r} is not known; give a Metric or one of {', '.join(NAMED)}."
            )
    return found


def accuracy(output: Any, target: Any, threshold: float = 0.0) -> float:
    """The share of samples whose class is predicted; see `Accuracy`.

    >>> accuracy(backlit.tensor([[0.1, 0.9], [0.8, 0.2]]), backlit.tensor([1, 1]))
    0.5
    """
    value: float = Accuracy(threshold)(output, target)
    return value


def topk_error(output: Any, target: Any, k: int = 5) -> float:
    """The share of samples whose class is not among the k highest scores; see `TopKError`.

    >>> topk_error(backlit.eye(6), backlit.tensor([0, 1, 2, 3, 4, 0]), k=5) > 0
    False
    """
    value: float = TopKError(k)(output, target)
    return value


def confusion_matrix(output: Any, target: Any, classes: int | None = None) -> Array:
    """How often class i (row) was predicted as class j (column); see `ConfusionMatrix`.

    >>> confusion_matrix(backlit.eye(3), backlit.tensor([0, 1, 0])).tolist()
    [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    """
    counts: Array = ConfusionMatrix(classes)(output, target)
    return counts
