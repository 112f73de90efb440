"""Protocols and validation curves: they say what happened, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

import backlit
from backlit import nn, optim, train
from backlit.data import iris


def run(study: train.Study | None, **more: Any) -> tuple[Any, train.Protocol]:
    splits = train.split(iris(), seed=0)
    protocol = train.Protocol(study)
    backlit.manual_seed(0)
    model = nn.MLP([4, 8, 3])
    sgd = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    train.fit(
        model, splits.train, nn.CrossEntropyLoss(), sgd, epochs=6, callbacks=[protocol],
        val_data=splits.validation, progress=False, **more,
    )  # fmt: skip
    return model, protocol


def test_without_a_study_only_the_training_is_noted() -> None:
    """Model, loss, how it was minimised, and what came of it."""
    _, protocol = run(
        None, penalty=train.l2, clip_grad=1.0, early_stopping=4,
        scheduler=None, batch_size=16,
    )  # fmt: skip
    lines = str(protocol).split("\n")
    assert lines[:3] == [
        "1. Model     MLP, 67 parameters, from random weights",
        "2. Loss      CrossEntropyLoss + a penalty on the weights",
        (
            "3. Minimise  SGD, lr 0.05, momentum 0.9, weight decay 0.001, batches of 16, gradients "
            "clipped at 1, at most 6 epochs, early stopping after 4 without improvement"
        ),
    ]
    assert lines[3].startswith("4. Learn     6 epochs, 36 steps: loss ")
    assert lines[3].endswith(", the best, were kept")
    assert len(lines) == 4


def test_with_a_study_choice_and_judgement_are_noted_as_they_happen() -> None:
    """Models that were compared, the one test, and the repeated use of the test set."""
    study = train.Study(train.split(iris(), seed=0), metrics="accuracy")
    model, protocol = run(study)
    assert "6. Choose    no models compared yet: use study.validate" in str(protocol)
    assert "7. Judge     test set not used yet: use study.test, once" in str(protocol)
    study.validate(model)
    study.validate(model)
    score = study.test(model)["accuracy"]
    text = str(protocol)
    assert text.startswith("1. Split     150 samples: 90 to learn from, 30 to choose by, 30 to be")
    assert "6. Choose    2 models scored on the validation set: accuracy " in text
    assert f"7. Judge     test set used once: accuracy {score:.3g}" in text
    study.test(model, again=True)
    assert "test set used twice" in str(protocol)
    assert str(protocol).endswith("; used repeatedly, so this score is likely too good")


def test_a_run_that_ended_at_once_or_was_stopped() -> None:
    """No epochs, and a reason to stop; frozen parameters are told."""
    protocol = train.Protocol()
    model = nn.Linear(4, 3)
    model.bias.requires_grad_(False)
    sgd = optim.SGD([model.weight], lr=0.1)
    train.fit(
        model, iris(), nn.CrossEntropyLoss(), sgd, epochs=0, callbacks=[protocol], progress=False
    )
    assert "no epoch was finished" in str(protocol)
    assert "15 parameters (3 frozen)" in str(protocol)
    _, stopped = run(None, metrics="accuracy")
    assert "stopped" not in str(stopped)
    protocol = train.Protocol()
    train.fit(
        model, iris(), nn.CrossEntropyLoss(), sgd, epochs=9,
        callbacks=[train.max_steps(5), protocol], progress=False,
    )  # fmt: skip
    assert "; stopped: max_steps(5)" in str(protocol)


def test_a_validation_curve_tells_the_three_kinds_apart() -> None:
    """Within 10 % of the best it is good; before that underfit, after that overfit."""
    found = train.validation_curve(
        [1, 2, 3, 4, 5], lambda d: ([9, 3, 2, 1, 0][d - 1], [10, 4.3, 4.0, 4.39, 8][d - 1])
    )
    assert found.best == 3
    assert found.verdicts == ("underfit", "good fit", "good fit", "good fit", "overfit")
    assert found.train == (9, 3, 2, 1, 0)
    assert str(found).split("\n")[-1].split() == ["5", "0", "8", "overfit"]
    with pytest.raises(ValueError) as error:
        train.validation_curve([], lambda d: (0.0, 0.0))
    assert str(error.value) == (
        "validation_curve: there are no settings to try; give at least one."
    )
