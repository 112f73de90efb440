"""A replay that finds everything where it left it computes what the function itself computes, and
notices whatever has been moved."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import config, nn
from backlit.core.capture import Captured
from backlit.core.replay import Replay
from backlit.core.steady import Patience

pytest.importorskip("llvmlite")

CALLS = 40
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 12)


@pytest.fixture(autouse=True)
def hot() -> Iterator[None]:
    """Every program runs natively from its first run on, and in no other tier beside it."""
    with config.flags(tier="hot", compare=False):
        yield


class Training:
    """A network with one unit too few for comfort, and its step."""

    def __init__(self, optimizer: str = "SGD", **options: float) -> None:
        backlit.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.weight: Any = self.model[0].weight
        made = getattr(backlit.optim, optimizer)
        self.optimizer = made(self.model.parameters(), **(options or {"lr": 0.1, "momentum": 0.9}))
        self.held: list[tuple[Any, list[Any]]] = []
        self.losses: list[Any] = []

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def hold(self, what: Any) -> None:
        self.held.append((what, what.tolist()))

    def state(self) -> list[Any]:
        """Everything that a step changes."""
        tensors = list(self.model.parameters())
        own = [v for s in self.optimizer.state_dict()["state"].values() for v in s.values()]
        numbers = [v.tolist() if isinstance(v, backlit.Tensor) else v for v in own]
        gradients = [None if p.grad is None else p.grad.tolist() for p in tensors]
        versions = [p._version for p in tensors]
        return [[t.tolist() for t in tensors], gradients, numbers, versions]


def steady_of(run: Captured[..., Any]) -> Any:
    (kind,) = run._kinds.values()
    assert isinstance(kind.replay, Replay)
    return kind.replay._steady


def steady_training() -> tuple[Training, Captured[..., Any], Any, Any]:
    """A network, its captured step, which is steady, and the step's arguments."""
    training = Training()
    run = backlit.capture(training.step)
    x, y = backlit.tensor(X), backlit.tensor(Y)
    for _ in range(6):
        run(x, y)
    assert steady_of(run) is not None
    return training, run, x, y


def halve(training: Training) -> None:
    with backlit.no_grad():
        training.weight.mul_(0.5)


def load(training: Training) -> None:
    training.model.load_state_dict({k: v * 2 for k, v in training.model.state_dict().items()})


def set_data(training: Training) -> None:
    training.weight.data = backlit.ones(4, 3)


def write_into_array(training: Training) -> None:
    training.weight.numpy(force=True)[0] = 1.0


def hold_view(training: Training) -> None:
    training.held.append((training.weight[0], []))  # shows later values


def add_to_gradient(training: Training) -> None:
    training.weight.grad.add_(1.0)


def set_rate(training: Training) -> None:
    training.optimizer.param_groups[0]["lr"] = 0.01


def freeze(training: Training) -> None:
    training.model[2].bias.requires_grad_(not training.model[2].bias.requires_grad)


def evaluate(training: Training) -> None:
    with backlit.no_grad():
        training.losses.append(training.model(backlit.tensor(X)).sum())


def plain_step(training: Training) -> None:
    training.step(backlit.tensor(X), backlit.tensor(Y))


def forget_gradients(training: Training) -> None:
    training.model.zero_grad()


def hold_array(training: Training) -> None:
    training.hold(training.weight._data)


def replace_array(training: Training) -> None:
    training.hold(training.weight._data)
    training.weight._data = training.weight._data.copy()


def take_gradient(training: Training) -> None:
    training.hold(training.weight.grad)
    training.weight.grad = None


def take_all_gradients(training: Training) -> None:
    for p in training.model.parameters():
        training.hold(p.grad)
        p.grad = backlit.zeros_like(p)


DISTURBANCES: dict[str, Callable[[Training], None]] = {
    "nothing": lambda training: None,
    "a tensor is held": lambda training: training.hold(training.weight.detach().clone()),
    "a detached tensor is held": lambda training: training.held.append(
        (training.weight.detach(), [])
    ),
    "a gradient is held": lambda training: training.hold(training.weight.grad),
    "the array of a gradient is held": lambda training: training.hold(training.weight.grad.numpy()),
    "a part of its array is held": lambda training: training.hold(training.weight.grad.numpy()[1:]),
    "a view is held": hold_view,
    "the array of a weight is held": hold_array,
    "the array of a weight is another": replace_array,
    "a gradient is taken": take_gradient,
    "gradients are others": take_all_gradients,
    "a weight is changed": halve,
    "its array is written to": write_into_array,
    "weights are loaded": load,
    "data is set": set_data,
    "a gradient is changed": add_to_gradient,
    "gradients are forgotten": forget_gradients,
    "the learning rate is changed": set_rate,
    "a bias is frozen": freeze,
    "the model is used": evaluate,
    "a step is plain": plain_step,
}


@pytest.mark.parametrize("disturbance", DISTURBANCES.values(), ids=DISTURBANCES)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
def test_whatever_happens_between_calls(
    optimizer: str, disturbance: Callable[[Training], None]
) -> None:
    """Losses, weights, gradients, state and versions are the plain loop's, to the bit; what is held
    stays as it is, except what shares a weight's memory in the plain loop, too."""
    options = {} if optimizer == "SGD" else {"lr": 0.01}
    found = []
    for captured in (True, False):
        training = Training(optimizer, **options)
        run: Any = backlit.capture(training.step) if captured else training.step
        x, y = backlit.tensor(X), backlit.tensor(Y)
        for i in range(CALLS):
            if i in (15, 16, 25):
                if captured and i != 16:  # views that are held follow every step
                    assert steady_of(run) is not None or not all(b for _, b in training.held)
                disturbance(training)
            training.losses.append(run(x, y))
        assert all(held.tolist() == before for held, before in training.held if before)
        held = [held.tolist() for held, before in training.held if not before]
        found.append([[loss.item() for loss in training.losses], training.state(), held])
    assert found[0] == found[1]


@pytest.mark.parametrize("disturbance", DISTURBANCES.values(), ids=DISTURBANCES)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_kinds_take_turns(optimizer: str, disturbance: Callable[[Training], None]) -> None:
    """The last batch of an epoch is smaller: its replay is steady, too, while the other rests;
    whatever happens between them, results are the plain loop's, to the bit."""
    found = []
    for captured in (True, False):
        training = Training(optimizer, lr=0.01)
        run: Any = backlit.capture(training.step) if captured else training.step
        for i in range(2 * CALLS):
            n = 12 if (i + 1) % 5 else 7
            if i in (45, 54, 65):  # after the smaller batch, before it, and after it again
                if captured and i == 45:
                    whole, smaller = (kind.replay for kind in run._kinds.values())
                    assert None not in (smaller._steady, whole._resting)
                disturbance(training)
            training.losses.append(run(backlit.tensor(X[:n]), backlit.tensor(Y[:n])))
        assert all(held.tolist() == before for held, before in training.held if before)
        held = [held.tolist() for held, before in training.held if not before]
        found.append([[loss.item() for loss in training.losses], training.state(), held])
    assert found[0] == found[1]


def test_losses_that_are_kept_differ() -> None:
    """Every call's result has an array of its own."""
    training = Training()
    run = backlit.capture(training.step)
    losses = [run(backlit.tensor(X), backlit.tensor(Y)) for _ in range(10)]
    assert steady_of(run) is not None
    assert len({loss.item() for loss in losses}) == 10


def test_arguments_that_are_no_plain_arrays() -> None:
    """Parts of a table that do not lie row by row are taken as they are meant."""
    wide = np.random.default_rng(2).normal(size=(3, 5, 12)).astype(np.float32)
    found = []
    for captured in (True, False):
        training = Training()
        run: Any = backlit.capture(training.step) if captured else training.step
        y = backlit.tensor(Y)
        losses = [run(backlit.tensor(X), y) for _ in range(6)]
        losses += [run(backlit.from_numpy(wide)[:, i].t(), y) for i in range(5)]
        found.append([loss.item() for loss in losses])
    assert found[0] == found[1]


def test_an_error_changes_nothing() -> None:
    """An index out of range in a steady replay is the error that the plain loop raises."""
    training, run, x, y = steady_training()
    before = training.state()
    with pytest.raises(IndexError):
        run(x, backlit.tensor(Y + 5))
    assert training.state()[0] == before[0]
    assert run(x, y).item() > 0


def test_generators_go_on() -> None:
    """Dropout draws anew in every call, the plain loop's numbers."""
    found = []
    for captured in (True, False):
        training = Training()
        training.model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        training.optimizer = backlit.optim.Adam(training.model.parameters())
        run: Any = backlit.capture(training.step) if captured else training.step
        x, y = backlit.tensor(X), backlit.tensor(Y)
        backlit.manual_seed(3)
        losses = [run(x, y).item() for _ in range(12)]
        if captured:
            assert steady_of(run) is not None
        found.append((losses, backlit.rand(3).tolist(), training.state()))
    assert found[0] == found[1]


def test_who_watches_sees_the_runs() -> None:
    """A profile counts the kernels of calls that were steady before it began."""
    _, run, x, y = steady_training()
    with backlit.profile() as profile:
        run(x, y)
    assert steady_of(run) is None
    assert profile.kernels()


def test_the_plan_is_used_elsewhere_between() -> None:
    """Another thread runs the plain step, and so the same program, on the same tensors."""
    found = []
    for captured in (True, False):
        training = Training()
        run: Any = backlit.capture(training.step) if captured else training.step
        x, y = backlit.tensor(X), backlit.tensor(Y)
        for _ in range(8):
            run(x, y)
            thread = threading.Thread(target=training.step, args=(x, y))
            thread.start()
            thread.join()
        found.append(training.state())
    assert found[0] == found[1]


def test_threads_that_infer_at_once() -> None:
    """Every call gets the results of its own arguments."""
    model = nn.Linear(3, 2)

    @backlit.capture
    def infer(x: Any) -> Any:
        with backlit.no_grad():
            return model(x)

    xs = [backlit.full((4, 3), float(k)) for k in range(4)]
    expected = [model(x).tolist() for x in xs]
    for x in xs:
        infer(x)
    wrong: list[int] = []
    together = threading.Barrier(4)

    def work(k: int) -> None:
        together.wait()
        wrong.extend(k for _ in range(3000) if infer(xs[k]).tolist() != expected[k])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_nothing_is_held_when_it_is_over() -> None:
    """Once something has moved, the arrays of before are let go."""
    import weakref

    training, run, x, y = steady_training()
    array = weakref.ref(training.weight._data)
    training.weight.data = backlit.ones(4, 3)
    assert array() is not None
    run(x, y)
    assert array() is None


def test_patience_grows_with_failures_and_returns() -> None:
    """What never lasts is tried ever more seldom; what lasted is tried again soon."""

    def waits(patience: Patience) -> int:
        return next(i for i in range(5000) if patience.is_over())

    patience = Patience()
    found = [waits(patience)]
    for _ in range(12):
        patience.failed(0)
        found.append(waits(patience))
    assert found == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]
    patience.failed(100)
    assert waits(patience) == 2
