"""Stopping rules, alone and combined, and early stopping."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn, train
from backlit.train import Moment, improvement_below, max_epochs, max_seconds, max_steps


class Fixed(train.Condition):
    """Holds as it is told, and counts how often it is asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self, moment: Moment) -> bool:
        self.asked += 1
        return self.answer

    def __repr__(self) -> str:
        return str(self.answer)


@pytest.mark.parametrize("a", [True, False])
@pytest.mark.parametrize("b", [True, False])
def test_truth_tables(a: bool, b: bool) -> None:
    """& and | are and and or; both sides are always asked, so that they keep up."""
    both, either = Fixed(a) & Fixed(b), Fixed(a) | Fixed(b)
    assert both(Moment()) == (a and b)
    assert either(Moment()) == (a or b)
    for pair in (both, either):
        assert isinstance(pair.left, Fixed)  # type: ignore[attr-defined]
        assert (pair.left.asked, pair.right.asked) == (1, 1)  # type: ignore[attr-defined]


def test_combinations_read_as_written() -> None:
    """Parentheses appear where the signs change."""
    rule = (max_steps(10) | max_epochs(3)) & improvement_below(0.1, over=2, monitor="val_loss")
    assert repr(rule) == (
        "(max_steps(10) | max_epochs(3)) & improvement_below(0.1, over=2, monitor='val_loss')"
    )
    assert rule(Moment(step=10)) is False
    for loss in (0.5, 0.5, 0.5):
        held = rule(Moment(step=10, row={"val_loss": loss}))
    assert held
    assert rule.why() == ("max_steps(10) and improvement_below(0.1, over=2, monitor='val_loss')")


def test_limits() -> None:
    """Counters at the limit are enough; a negative limit is refused."""
    assert [max_steps(3)(Moment(step=n)) for n in (2, 3, 4)] == [False, True, True]
    assert [max_seconds(1.5)(Moment(seconds=s)) for s in (1.4, 1.5)] == [False, True]
    with pytest.raises(ValueError) as error:
        max_steps(-1)
    assert str(error.value) == "max_steps: the limit must not be negative, got -1."


def test_values_hold_between_epochs() -> None:
    """In the middle of an epoch, where no row exists, the last answer stands."""
    rule = train.value_below(0.1)
    answers = [rule(Moment(row=row)) for row in ({}, {"loss": 0.05}, {}, {"loss": 0.5}, {})]
    assert answers == [False, True, True, False, False]
    assert train.value_above(0.9)(Moment(row={"accuracy": 0.95}))


def test_improvement_of_what_should_rise() -> None:
    """For accuracies, improving is rising; NaN is no improvement."""
    rule = improvement_below(0.05, monitor="accuracy")
    answers = [rule(Moment(row={"accuracy": a})) for a in (0.5, 0.6, 0.62)]
    assert answers == [False, False, True]
    broken = improvement_below(0.1)
    assert [broken(Moment(row={"loss": x})) for x in (1.0, math.nan)] == [False, True]


def test_conditions_keep_their_state() -> None:
    """A loaded condition goes on as the saved one."""
    rule = max_steps(99) & improvement_below(0.1, over=2)
    for loss in (1.0, 0.99):
        rule(Moment(row={"loss": loss}))
    other = max_steps(99) & improvement_below(0.1, over=2)
    other.load_state_dict(rule.state_dict())
    moment = Moment(step=99, row={"loss": 0.98})
    assert rule(moment)
    assert other(moment)


def test_gradient_condition() -> None:
    """Looks at the gradients of the model at the end of epochs only."""
    model = nn.Linear(1, 1, bias=False)
    rule = train.gradient_below(1e-2)
    assert not rule(Moment(row={"loss": 1.0}, model=model))  # no gradient yet
    model.weight.grad = backlit.tensor([[1e-3]])
    assert not rule(Moment(model=model))
    assert rule(Moment(row={"loss": 1.0}, model=model))
    other = train.gradient_below(1e-2)
    other.load_state_dict(rule.state_dict())
    assert other(Moment())


def test_mistakes_are_explained() -> None:
    """`and` instead of &, an unknown column, a number instead of a condition, wrong options."""
    with pytest.raises(TypeError) as error:
        max_steps(1) and max_epochs(1)
    assert str(error.value) == (
        "a stopping condition has no truth value of its own; combine with & and |, not with 'and' "
        "and 'or'."
    )
    with pytest.raises(TypeError) as error:
        max_steps(1) & 5  # type: ignore[operator]
    assert str(error.value) == (
        "stopping conditions combine with each other, not with 5; use max_steps(n), "
        "max_seconds(s), improvement_below(…) and the like."
    )
    with pytest.raises(ValueError) as error:
        improvement_below(0.1, monitor="val_loss")(Moment(row={"loss": 1.0}))
    assert str(error.value) == (
        "improvement_below(0.1, monitor='val_loss'): there is no 'val_loss' to watch; the epochs "
        "report loss."
    )
    with pytest.raises(ValueError) as error:
        improvement_below(0.1, over=0)
    assert str(error.value) == "improvement_below: over must be at least 1, got 0."
    with pytest.raises(TypeError) as error:
        train.StopWhen(100)  # type: ignore[arg-type]
    assert str(error.value) == ("StopWhen: expected a condition such as max_steps(1000), got 100.")


def test_base_classes_say_what_is_missing() -> None:
    """A Condition of one's own defines __call__, a Watching one look()."""
    from backlit.train.stopping import Pair, Watching

    with pytest.raises(NotImplementedError) as error:
        train.Condition()(Moment())
    assert str(error.value) == "Condition: a Condition must define __call__."
    with pytest.raises(NotImplementedError) as error:
        Watching("loss")(Moment(row={"loss": 1.0}))
    assert str(error.value) == "Watching: define look(value)."
    with pytest.raises(NotImplementedError) as error:
        Pair(max_steps(1), max_steps(2))(Moment())
    assert str(error.value) == "Pair: a Pair must define decide()."


def scalar(value: float) -> Any:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data = backlit.tensor([[value]])
    return model


def test_early_stopping_keeps_and_restores_the_best() -> None:
    """The weights of the best epoch come back, not those of the last."""
    stopper = train.EarlyStopping(patience=1)
    model = scalar(0.0)
    stopped = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 1.0]):
        model.weight.data = backlit.tensor([[float(epoch)]])
        stopped.append(stopper.update(loss, model))
    assert stopped == [False, False, False, True]
    assert (stopper.best, stopper.best_epoch) == (1.0, 2)
    stopper.restore(model)
    assert model.weight.tolist() == [[1.0]]


def test_early_stopping_options() -> None:
    """min_delta, rising quantities, NaN, and no restoring."""
    model = scalar(0.0)
    small = train.EarlyStopping(patience=0, min_delta=0.1)
    assert [small.update(x, model) for x in (1.0, 0.95)] == [False, True]
    rising = train.EarlyStopping(patience=0, monitor="val_accuracy")
    assert [rising.update(x, model) for x in (0.5, 0.6, 0.6)] == [False, False, True]
    broken = train.EarlyStopping(patience=1)
    assert [broken.update(math.nan, model) for _ in range(2)] == [False, True]
    assert broken.best is None
    keeps_none = train.EarlyStopping(restore_best=False)
    keeps_none.update(1.0, model)
    assert keeps_none.weights is None
    with pytest.raises(ValueError) as error:
        train.EarlyStopping(patience=-1)
    assert str(error.value) == (
        "EarlyStopping: patience and min_delta must not be negative, got -1 and 0.0."
    )


def test_kept_weights_are_copies() -> None:
    """Training on does not change what was kept."""
    model = scalar(1.0)
    stopper = train.EarlyStopping()
    stopper.update(0.5, model)
    with backlit.no_grad():
        model.weight.add_(5.0)
    assert stopper.weights is not None
    assert np.asarray(stopper.weights["weight"]).tolist() == [[1.0]]
    stopper.restore(model)
    with backlit.no_grad():
        model.weight.add_(5.0)
    stopper.restore(model)
    assert model.weight.tolist() == [[1.0]]
