"""Running a model over data without training it: scores and predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from backlit.autograd import no_grad
from backlit.core.create import from_array
from backlit.core.era import flush, realize
from backlit.core.tensor import Tensor
from backlit.data import DataLoader, Dataset, IterableDataset, Table, TensorDataset
from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.train.metrics import Metric, as_metrics, as_tensor

EVALUATION_BATCH = 1024
_MOST_UNREAD = 64  # losses held before they are added up


def as_loader(data: Any, batch_size: int, shuffle: bool) -> Any:
    """Something that gives batches: a loader as it is, or one over a data set or over tensors.

    Raises:
        ArgumentError: it is none of these.
    """
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, Table):
        data = TensorDataset(data.x, data.y)
    elif isinstance(data, tuple | list) and all(hasattr(part, "shape") for part in data):
        data = TensorDataset(*map(as_tensor, data))
    if isinstance(data, IterableDataset):
        return DataLoader(data, batch_size)
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return DataLoader(data, batch_size, shuffle=shuffle)
    if isinstance(data, Iterable) and not isinstance(data, Tensor | Iterator):
        return data
    raise ArgumentError(
        f"cannot take batches from {type(data).__name__}; give (x, y), a Dataset, a DataLoader, or "
        "something that can be iterated over once per epoch and gives batches."
    )


def parts_of(batch: Any) -> tuple[list[Any], Any]:
    """The inputs and the target of a batch, the last of its parts.

    Raises:
        ArgumentError: the batch is not a sequence of at least two parts.
    """
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        kind = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ArgumentError(
            f"a batch must be (input, …, target), got {kind}; let the data set give pairs."
        )
    return list(batch[:-1]), batch[-1]


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients; afterwards every module is as it was.

    >>> from backlit import nn
    >>> model = nn.Sequential(nn.Dropout(0.5))
    >>> with evaluating(model):
    ...     model(backlit.ones(3))
    tensor([1., 1., 1.])
    >>> model.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


class LossSum:
    """The mean loss over samples, summed in float64.

    Losses that are still to be computed are not read at once, but some batches later.
    """

    def __init__(self, loss_of: Any) -> None:
        self.is_sum = getattr(loss_of, "reduction", "mean") == "sum"
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.total = 0.0
        self.n = 0
        self._unread: list[tuple[Tensor, int]] = []

    def add(self, loss: Tensor, n: int) -> None:
        """Add the loss of a batch of n samples."""
        self._unread.append((loss, n))
        self.n += n
        if loss._data is not None or len(self._unread) >= _MOST_UNREAD:
            self._read()

    def _read(self) -> None:
        for loss, n in self._unread:
            value = float(realize(loss))
            self.total += value if self.is_sum else value * n
        self._unread = []

    def mean(self) -> float:
        """The mean so far; NaN if there is none."""
        self._read()
        return self.total / self.n if self.n else float("nan")

    def state_dict(self) -> dict[str, Any]:
        """The sum so far."""
        self._read()
        return {"total": from_array(np.array(self.total)), "n": self.n}

    def load_state_dict(self, state: Any) -> None:
        """Go on from what `state_dict` gave."""
        self.reset()
        self.total, self.n = float(realize(state["total"])), state["n"]


def evaluate(
    model: Module,
    data: Any,
    loss: Any = None,
    metrics: Any = None,
    *,
    batch_size: int = EVALUATION_BATCH,
) -> dict[str, Any]:
    """The mean loss and the metrics of a model over data, in evaluation mode.

    Args:
        data: (x, y), a Dataset, a DataLoader, or batches.
        loss: a function of (output, target), or None.
        metrics: metrics or their names.

    Raises:
        ArgumentError: the data are of no such kind, or there are none.

    >>> from backlit import nn
    >>> x, y = backlit.eye(4), backlit.tensor([0, 1, 2, 0])
    >>> evaluate(nn.Identity(), (x, y), metrics=["accuracy"])
    {'accuracy': 0.75}
    """
    chosen = as_metrics(metrics)
    total = LossSum(loss)
    seen = run_over(model, as_loader(data, batch_size, False), loss, total, chosen)
    if not seen:
        raise ArgumentError("evaluate: the data gave no batches; is the data set empty?")
    row: dict[str, Any] = {} if loss is None else {"loss": total.mean()}
    return row | {metric.name: metric.compute() for metric in chosen}


def run_over(
    model: Module, loader: Any, loss_of: Any, total: LossSum, metrics: list[Metric]
) -> int:
    """Add up loss and metrics over all batches; returns how many samples there were."""
    seen = 0
    with evaluating(model):
        for batch in loader:
            inputs, target = parts_of(batch)
            output = model(*inputs)
            if loss_of is not None:
                total.add(loss_of(output, target), len(target))
            for metric in metrics:
                metric.update(output, target)
            seen += len(target)
            del output
            flush()
    return seen


def predict(model: Module, x: Any, *, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """The outputs for all rows of x, in evaluation mode, computed in batches.

    >>> from backlit import nn
    >>> predict(nn.Softmax(1), backlit.zeros(3, 2), batch_size=2).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    x = as_tensor(x)
    with evaluating(model):
        starts = range(0, max(len(x), 1), batch_size)
        parts = [np.array(realize(model(x[start : start + batch_size]))) for start in starts]
    return from_array(np.concatenate(parts))
