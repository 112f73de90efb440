"""Splits and studies: proportions, repeatability, and a test set that is used once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
from backlit import nn, train
from backlit.data import TensorDataset, iris

REUSED = (
    "the test set has been used once already. Choosing between models by their test scores fits "
    "the test set, and its score is then too good; compare on splits.validation, or pass "
    "again=True if no choice depends on it."
)


@given(classes=st.lists(st.integers(0, 3), min_size=1, max_size=80), seed=st.integers(0, 9))
def test_parts_are_disjoint_complete_and_stratified(classes: list[int], seed: int) -> None:
    """Every sample is in one part; every class is in each part to within one of its share."""
    n = len(classes)
    data = range(n)
    parts = train.split(data, shares=(0.5, 0.3, 0.2), seed=seed, stratify=classes).indices
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(n))
    for c in set(classes):
        total = classes.count(c)
        for part in parts:
            share = len(part) / n
            assert abs(sum(classes[i] == c for i in part) - share * total) < 2


def test_the_seed_decides() -> None:
    """The same seed, the same parts; another seed, others."""
    a, b, c = (train.split(iris(), seed=seed).indices for seed in (0, 0, 1))
    assert a == b != c


def test_order_within_parts_is_random() -> None:
    """A stratified part is not sorted by class."""
    parts = train.split(iris(), seed=0)
    classes = [int(parts.train[i][1]) for i in range(len(parts.train))]
    assert classes != sorted(classes)
    assert len(set(classes[:10])) > 1


def test_targets_that_are_no_classes_are_not_stratified() -> None:
    """Real targets are split at random."""
    x = backlit.randn(20, 2)
    assert len(train.split((x, x[:, :1])).train) == 12
    assert len(train.split(TensorDataset(x), stratify=None).validation) == 4


def test_refused_splits() -> None:
    """Two shares, shares of more than all, and the wrong number of classes."""
    with pytest.raises(ValueError) as error:
        train.split(iris(), shares=(0.5, 0.5))
    assert str(error.value) == (
        "split: expected three shares, of training, validation and test, got 2."
    )
    with pytest.raises(ValueError, match="not to 1"):
        train.split(iris(), shares=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError) as error:
        train.split(iris(), stratify=[0, 1])
    assert str(error.value) == (
        "split: stratify must give one class for each of the 150 samples, got shape (2,)."
    )


def test_the_test_part_is_handed_out_once() -> None:
    """The second time needs again=True; the message says why."""
    splits = train.split(iris())
    assert len(splits.test()) == 30
    with pytest.raises(train.TestSetReused) as error:
        splits.test()
    assert str(error.value) == REUSED
    assert len(splits.test(again=True)) == 30
    assert splits.test_uses == 2
    with pytest.raises(train.TestSetReused, match="used twice already"):
        splits.test()


def study(record: Path | None = None, seed: int = 0) -> Any:
    return train.Study(train.split(iris(), seed=seed), metrics=["accuracy"], record=record)


def test_a_study_remembers_across_processes(tmp_path: Path) -> None:
    """With a record, a new study of the same test set knows; one of another set does not."""
    record = tmp_path / "tests.json"
    model = nn.Linear(4, 3)
    scores = study(record).test(model)
    with pytest.raises(train.TestSetReused) as error:
        study(record).test(model)
    assert str(error.value) == REUSED
    study(record, seed=1).test(model)
    written = json.loads(record.read_text())
    assert written[0]["scores"] == scores
    assert study(record).test(model, again=True) == scores


def test_a_study_validates_as_often_as_you_like() -> None:
    """Validation leaves the test set alone."""
    mine = study()
    model = nn.Linear(4, 3)
    assert mine.validate(model) == mine.validate(model)
    assert mine.splits.test_uses == 0


def test_a_foreign_record_is_refused(tmp_path: Path) -> None:
    """It is not overwritten either."""
    path = tmp_path / "notes.json"
    path.write_text("{")
    with pytest.raises(ValueError) as error:
        study(path)
    assert str(error.value) == f"{path}: not a record of test evaluations; name another file."
    assert path.read_text() == "{"


def test_subsets_hold_the_right_rows() -> None:
    """The parts give the data set's own rows."""
    table = iris()
    parts = train.split(table, seed=3)
    x, y = parts.validation[4]
    row = parts.indices[1][4]
    assert np.array_equal(x.numpy(), table.x[row].numpy())
    assert int(y) == int(table.y[row])
