"""Ensembles: how members are combined."""

from __future__ import annotations

from typing import Any

import pytest

import backlit
from backlit import nn, optim, train
from backlit.data import iris


class Says(nn.Module):
    """Gives the same scores for every row."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = backlit.tensor(list(scores))

    def forward(self, x: Any) -> Any:
        return self.scores.expand(len(x), len(self.scores))


def ensemble(*members: nn.Module, **options: Any) -> train.Ensemble:
    made = train.Ensemble(lambda: nn.Linear(4, 3), **options)
    made.members = list(members)
    return made


X = backlit.zeros(2, 4)


def test_votes_and_means_differ() -> None:
    """Two lukewarm votes against a sure one: the majority wins the vote, not the mean."""
    members = (Says(0.1, 0.0), Says(0.1, 0.0), Says(0.0, 9.0))
    assert ensemble(*members).predict(X).tolist() == [0, 0]
    assert ensemble(*members, combine="mean").predict(X).tolist() == [1, 1]


def test_a_tie_goes_to_the_higher_probability() -> None:
    """One vote each: the surer member decides."""
    assert ensemble(Says(0.0, 1.0, 0.0), Says(9.0, 0.0, 0.0)).predict(X).tolist() == [0, 0]
    assert ensemble(Says(0.0, 9.0, 0.0), Says(1.0, 0.0, 0.0)).predict(X).tolist() == [1, 1]


def test_binary_logits_and_regression() -> None:
    """One logit per sample counts as two classes; outputs of a regression are averaged."""
    assert ensemble(Says(2.0), Says(-1.0), Says(-1.0)).predict(X).tolist() == [0, 0]
    chances = ensemble(Says(0.0)).predict_proba(X).tolist()
    assert chances == [[0.5, 0.5], [0.5, 0.5]]
    mean = ensemble(Says(1.0), Says(4.0), combine="mean", task="regression").predict(X)
    assert mean.tolist() == [[2.5], [2.5]]


def test_members_differ_and_are_repeatable() -> None:
    """Seeds decide the starts; two fits with one seed give the same members."""
    outputs = []
    for _ in range(2):
        made = train.Ensemble(lambda: nn.Linear(4, 3))
        histories = made.fit(
            2,
            iris(),
            nn.CrossEntropyLoss(),
            lambda parameters: optim.SGD(parameters, lr=0.01),
            epochs=1,
            progress=False,
            seed=3,
        )
        assert [len(history) for history in histories] == [1, 1]
        outputs.append(made.outputs(iris().x).tolist())
    assert outputs[0] == outputs[1]
    assert outputs[0][0] != outputs[0][1]


def test_refusals() -> None:
    """Unknown combinations, votes on numbers, no members."""
    with pytest.raises(ValueError) as error:
        ensemble(combine="median")
    assert str(error.value) == (
        "Ensemble: combine must be 'vote' or 'mean' and task 'classification' or 'regression', "
        "got 'median' and 'classification'."
    )
    with pytest.raises(ValueError) as error:
        ensemble(task="regression")
    assert str(error.value) == "Ensemble: numbers cannot be voted on; use combine='mean'."
    with pytest.raises(ValueError) as error:
        ensemble().predict(X)
    assert str(error.value) == "Ensemble: there are no members yet; call fit(n, …) first."
    with pytest.raises(ValueError) as error:
        ensemble().fit(0, iris(), nn.CrossEntropyLoss(), optim.SGD, epochs=1)
    assert str(error.value) == "Ensemble.fit: n must be at least 1, got 0."
