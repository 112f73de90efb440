"""Training, validation and test data, and a test set that cannot be worn out unnoticed.

Choices are made on validation data. Whoever compares models on the test set, and keeps the best,
has fitted the test set: its score is then too good, and nothing is left to tell by how much.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from backlit.core.era import realize
from backlit.core.tensor import Tensor
from backlit.data import Subset, Table, TensorDataset
from backlit.data.dataset import sizes_of_shares
from backlit.data.seeds import rng_of
from backlit.errors import ArgumentError
from backlit.nn import Module
from backlit.train.checkpoint import write_atomically
from backlit.train.errors import TestSetReused
from backlit.train.evaluation import evaluate
from backlit.train.metrics import as_tensor
from backlit.train.run_folder import as_json, write_text


class Splits:
    """Training, validation and test parts of a data set.

    Attributes:
        train, validation: data sets to look at as often as you like.
        test_uses: how often the test part has been handed out.

    >>> splits = split(backlit.data.iris(), shares=(0.6, 0.2, 0.2), seed=0)
    >>> splits
    Splits(train 90, validation 30, test 30)
    """

    def __init__(self, dataset: Any, parts: Sequence[Sequence[int]]) -> None:
        self.indices = [list(part) for part in parts]
        self.train: Subset[Any] = Subset(dataset, self.indices[0])
        self.validation: Subset[Any] = Subset(dataset, self.indices[1])
        self._test: Subset[Any] = Subset(dataset, self.indices[2])
        self.test_uses = 0

    def test(self, again: bool = False) -> Subset[Any]:
        """The test part: once. `again=True` hands it out further times.

        Raises:
            TestSetReused: it was handed out before.
        """
        if self.test_uses and not again:
            raise TestSetReused(
                f"the test set has been used {times(self.test_uses)} already. Choosing between "
                "models by their test scores fits the test set, and its score is then too good; "
                "compare on splits.validation, or pass again=True if no choice depends on it."
            )
        self.test_uses += 1
        return self._test

    @property
    def fingerprint(self) -> str:
        """Identifies the test part by its content."""
        digest = hashlib.sha256()
        for index in range(len(self._test)):
            for part in np.atleast_1d(np.asarray(self._test[index], dtype=object)):
                value = realize(part) if isinstance(part, Tensor) else np.asarray(part)
                digest.update(repr(value.tolist()).encode())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        sizes = [len(part) for part in self.indices]
        return f"Splits(train {sizes[0]}, validation {sizes[1]}, test {sizes[2]})"


def times(n: int) -> str:
    """How often, in words."""
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def split(
    data: Any,
    *,
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: Any = "auto",
) -> Splits:
    """Split data at random, the same way every time.

    Args:
        data: a Table, (x, y), or a Dataset.
        shares: of training, validation and test; they add up to 1.
        stratify: class numbers, one per sample: every class gets its shares of each part, to
            within one sample. "auto" takes the targets of a Table or of (x, y) if they are whole
            numbers; None does not stratify.

    Raises:
        ArgumentError: the shares do not add up to 1, or there is not one class per sample.

    >>> parts = split(backlit.data.iris(), seed=1)
    >>> [sum(int(parts.train[i][1]) == c for i in range(90)) for c in range(3)]
    [30, 30, 30]
    """
    if len(shares) != 3:
        raise ArgumentError(
            f"split: expected three shares, of training, validation and test, got {len(shares)}."
        )
    if isinstance(data, Table):
        data = (data.x, data.y)
    targets = None
    if isinstance(data, tuple | list) and all(hasattr(part, "shape") for part in data):
        data = TensorDataset(*map(as_tensor, data))
        targets = np.array(realize(data.tensors[-1]))
    classes = targets if isinstance(stratify, str) else stratify
    if isinstance(stratify, str) and (targets is None or not is_classes(targets)):
        classes = None
    order = split_order(len(data), None if classes is None else np.asarray(classes), seed)
    ends = list(accumulate(int(size) for size in sizes_of_shares(list(shares), len(data))))
    return Splits(data, [part.tolist() for part in np.split(order, ends[:-1])])


def is_classes(targets: Any) -> bool:
    """Whether these are class numbers."""
    return bool(targets.ndim == 1 and targets.dtype.kind in "iub")


def split_order(n: int, classes: Any, seed: int) -> Any:
    """An order in which every beginning holds all classes in proportion.

    Within its class every sample gets a random place; sample j of m is put at (j + ½) / m.
    """
    rng = rng_of(seed)
    order = rng.permutation(n)
    if classes is None:
        return order
    if classes.shape != (n,):
        raise ArgumentError(
            f"split: stratify must give one class for each of the {n} samples, got shape "
            f"{classes.shape}."
        )
    place = np.empty(n)
    for label in np.unique(classes):
        members = order[classes[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place[order], kind="stable")]


class Study:
    """Model selection that stays honest: any number of validations, one test.

    Args:
        splits: from `split`.
        loss, metrics: what models are judged by.
        record: a file that notes test evaluations, so that another process knows of them.

    Attributes:
        validations: the scores of every validation so far.
        tests: those of every test, with its time and test set.

    >>> from backlit import nn
    >>> study = Study(split(backlit.data.iris()), metrics=["accuracy"])
    >>> model = nn.Linear(4, 3)
    >>> sorted(study.validate(model)), sorted(study.test(model))
    (['accuracy'], ['accuracy'])
    >>> study.test(model)
    Traceback (most recent call last):
    backlit.train.errors.TestSetReused: ...
    """

    def __init__(
        self,
        splits: Splits,
        *,
        loss: Any = None,
        metrics: Any = None,
        record: str | Path | None = None,
    ) -> None:
        self.splits = splits
        self.loss = loss
        self.metrics = metrics
        self.record = None if record is None else Path(record)
        self.validations: list[dict[str, Any]] = []
        self.tests = self._recorded()
        own = [test for test in self.tests if test["test_set"] == splits.fingerprint]
        splits.test_uses = max(splits.test_uses, len(own))

    def _recorded(self) -> list[dict[str, Any]]:
        """Earlier tests, on this test set and others."""
        if self.record is None or not self.record.exists():
            return []
        try:
            found: list[dict[str, Any]] = json.loads(self.record.read_text(encoding="utf-8"))
            return [dict(test, test_set=test["test_set"]) for test in found]
        except (ValueError, KeyError, TypeError):
            raise ArgumentError(
                f"{self.record}: not a record of test evaluations; name another file."
            ) from None

    def validate(self, model: Module) -> dict[str, Any]:
        """Scores on the validation part, as often as you like."""
        scores = evaluate(model, self.splits.validation, self.loss, self.metrics)
        self.validations.append(scores)
        return scores

    def test(self, model: Module, again: bool = False) -> dict[str, Any]:
        """Scores on the test part, for the model that was chosen; noted in the record.

        Raises:
            TestSetReused: a model was tested before, and `again` is not given.
        """
        scores = evaluate(model, self.splits.test(again), self.loss, self.metrics)
        self.tests.append(
            {
                "test_set": self.splits.fingerprint,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "scores": as_json(scores),
            }
        )
        if self.record is not None:
            text = json.dumps(self.tests, indent=2) + "\n"
            write_atomically(self.record, lambda part: write_text(part, text))
        return scores
