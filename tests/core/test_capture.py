"""A captured step function computes what the function itself computes, or runs as it is."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.core.capture import Captured
from backlit.nn.hooks import register_module_forward_hook

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


def make(kind: str, optimizer: str, options: dict[str, Any]) -> tuple[Any, Any, Callable[..., Any]]:
    """A network, its optimizer, and a training step."""
    backlit.manual_seed(0)
    parts = {
        "plain": [nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)],
        "dropout": [nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)],
        "batchnorm": [nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)],
    }[kind]
    model = nn.Sequential(*parts)
    stepper = getattr(backlit.optim, optimizer)(model.parameters(), **options)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        stepper.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        stepper.step()
        return loss

    return model, stepper, step


def batches() -> list[tuple[backlit.Tensor, backlit.Tensor]]:
    x, y = backlit.tensor(X), backlit.tensor(Y)
    return [(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)] * 4


@pytest.mark.parametrize("kind", ["plain", "dropout", "batchnorm"])
@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {"lr": 0.01}),
        ("AdamW", {"lr": 0.01, "amsgrad": True}),
        ("NAdam", {"lr": 0.01}),
        ("RAdam", {"lr": 0.01}),
        ("ASGD", {"lr": 0.01}),
        ("RMSprop", {"lr": 0.01}),
    ],
)
def test_same_training(kind: str, optimizer: str, options: dict[str, Any]) -> None:
    """Losses, weights, buffers, gradients and optimizer state are those of the plain loop."""
    found, states = [], []
    for captured in (False, True):
        model, stepper, step = make(kind, optimizer, options)
        run: Any = backlit.capture(step) if captured else step
        found.append([run(x, y).item() for x, y in batches()])
        if captured and optimizer != "RAdam":
            assert run.why == ""
        elif captured:
            assert run.why == "RAdam's formula may change from step to step"
        states.append(
            [t.tolist() for t in model.state_dict().values()]
            + [p.grad.tolist() for p in model.parameters()]
            + [
                v.tolist() if isinstance(v, backlit.Tensor) else v
                for own in stepper.state_dict()["state"].values()
                for v in own.values()
            ]
        )
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_python_is_not_run_again() -> None:
    """After two calls that agree, the function's body is not executed."""
    _, _, step = make("plain", "SGD", {"lr": 0.1})
    calls = []

    @backlit.capture
    def counted(x: Any, y: Any) -> Any:
        calls.append(1)
        return step(x, y)

    for x, y in batches():
        counted(x, y)
    assert len(calls) == 2


def test_learning_rate_and_plain_steps_between() -> None:
    """A schedule outside, plain steps, and changed weights between calls are all respected."""
    results = []
    for captured in (False, True):
        model, stepper, step = make("plain", "Adam", {"lr": 0.01})
        run = backlit.capture(step) if captured else step
        losses = []
        for i, (x, y) in enumerate(batches()):
            if i == 6:
                stepper.param_groups[0]["lr"] = 0.1
            if i == 9:
                losses.append(step(x, y).item())
            if i == 11:
                with backlit.no_grad():
                    model[0].weight.mul_(0.5)
            losses.append(run(x, y).item())
        results.append(losses)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_train_and_eval_mode_are_noticed() -> None:
    """A change of mode is learnt anew."""
    results = []
    for captured in (False, True):
        model, _, step = make("dropout", "SGD", {"lr": 0.1})
        run = backlit.capture(step) if captured else step
        losses = []
        for i, (x, y) in enumerate(batches()):
            if i in (5, 10):
                model.train(i == 10)
            losses.append(run(x, y).item())
        results.append(losses)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_gradients_that_are_added_to() -> None:
    """Without zero_grad inside, gradients accumulate or not as they do in the plain loop."""
    results = []
    for captured in (False, True):
        w: Any = backlit.ones(3, requires_grad=True)

        def accumulate(x: Any, w: Any = w) -> None:
            (w * x).sum().backward()

        run = backlit.capture(accumulate) if captured else accumulate
        x, seen = backlit.tensor([1.0, 2.0, 3.0]), []
        for i in range(12):
            if i in (3, 4, 7):
                w.grad = None
            run(x)
            seen.append(w.grad.tolist())
        results.append(seen)
    assert results[0] == results[1]


def test_inference() -> None:
    """A model is a pure function, too; every kind of input has its own replay."""
    model, _, _ = make("plain", "SGD", {"lr": 0.1})
    run = backlit.capture(model)
    with backlit.no_grad():
        for n in (1, 5, 1, 5, 1, 5, 7):
            x = backlit.tensor(X[:n])
            np.testing.assert_allclose(run(x).numpy(), model(x).numpy(), rtol=1e-5)


def test_structures_are_returned() -> None:
    """Tuples, lists and dictionaries of results come back as such."""

    @backlit.capture
    def both(x: Any) -> Any:
        return {"sum": x.sum(), "parts": (x * 2, [x + 1, None])}

    for k in range(5):
        found = both(backlit.tensor([1.0, float(k)]))
        assert found["sum"].item() == 1 + k
        assert found["parts"][0].tolist() == [2, 2 * k]
        assert found["parts"][1][0].tolist() == [2, k + 1]
        assert found["parts"][1][1] is None


def kept(store: list[Any]) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        store.append(x * 2)
        return x.sum()

    return step


def counting() -> Callable[[Any], Any]:
    count = [0.0]

    def step(x: Any) -> Any:
        count[0] += 1
        return x * count[0]

    return step


HOOKED = backlit.ones(2, requires_grad=True)
HOOKED.register_hook(lambda g: g * 2)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (
            lambda x: x * x.sum().item(),
            "it looks at values while it runs (item, print, if, numpy)",
        ),
        (
            lambda x: x * backlit.tensor(RNG.random(2).astype(np.float32)),
            (
                "a tensor of shape (2,) is made from data inside that changes; make it outside and "
                "pass it as an argument"
            ),
        ),
        (counting(), "the number 5.0 became 6.0; pass it as a tensor"),
        (lambda x: 3, "it returns int; return tensors, or tuples and dicts of them"),
        (
            lambda x: x,
            "it returns a tensor of shape (2,) that it did not compute; return results only",
        ),
        (
            kept([]),
            "a tensor of shape (2,) that it computes is kept elsewhere; return it instead",
        ),
        (
            lambda x: backlit.autograd.backward((x * HOOKED).sum(), inputs=[HOOKED]),
            "a tensor has hooks, which are Python",
        ),
    ],
)
def test_what_cannot_be_repeated_runs_as_it_is(function: Any, why: str) -> None:
    """The results are the function's own, and it says why."""
    run = backlit.capture(function)
    expected = [function(backlit.tensor([1.0, float(k)])) for k in range(4)]
    HOOKED.grad = None
    for k in range(4):
        found = run(backlit.tensor([1.0, float(k)]))
        if isinstance(found, backlit.Tensor) and "became" not in why and "data" not in why:
            assert found.tolist() == expected[k].tolist()
        HOOKED.grad = None
        if k == 1:
            assert isinstance(run, Captured)
            assert run.why == why


def hook_on_weight(name: str) -> Callable[..., Any]:
    return lambda model, optimizer, call: getattr(model[0].weight, name)(call)


HOOKS: dict[str, Callable[..., Any]] = {
    "of a module, forward": lambda model, optimizer, call: model[0].register_forward_hook(call),
    "of a module, backward": lambda model, _, call: model[0].register_full_backward_hook(call),
    "of all modules": lambda model, optimizer, call: register_module_forward_hook(call),
    "of a tensor": hook_on_weight("register_hook"),
    "after a gradient": hook_on_weight("register_post_accumulate_grad_hook"),
    "of an optimizer": lambda model, optimizer, call: optimizer.register_step_post_hook(call),
}


@pytest.mark.parametrize("register", HOOKS.values(), ids=HOOKS)
def test_hooks_that_come_and_go(register: Callable[..., Any]) -> None:
    """While there are hooks, the function runs as it is; without them it is repeated."""
    model, stepper, step = make("plain", "SGD", {"lr": 0.1})
    run, seen = backlit.capture(step), []
    ((x, y), *_) = batches()
    for _ in range(4):
        run(x, y)
    assert run.why == ""
    handle = register(model, stepper, lambda *args: seen.append(1))
    for _ in range(4):
        run(x, y)
    assert len(seen) >= 4
    assert run.why.endswith("has hooks, which are Python")
    handle.remove()
    seen.clear()
    for _ in range(4):
        run(x, y)
    assert seen == []
    assert run.why == ""


def test_arguments_that_require_grad() -> None:
    """Gradients of arguments would be lost."""
    run = backlit.capture(lambda x: (x * 2).sum())
    for _ in range(3):
        run(backlit.ones(2, requires_grad=True))
    assert run.why == "an argument requires grad; pass data only"


def test_draws_that_come_and_go() -> None:
    """A call that draws what the one before did not is no repetition; later ones may be."""
    calls: list[int] = []

    def noisy(x: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            backlit.default_generator.take(1)
        return nn.functional.dropout(x, 0.5)

    run = backlit.capture(noisy)
    run(backlit.ones(3))
    run(backlit.ones(3))
    assert run.why == "two calls in a row did not draw random numbers at the same places"
    for _ in range(3):
        run(backlit.ones(3))
    assert (run.why, len(calls)) == ("", 4)


def test_unhashable_argument() -> None:
    """Arguments that are not tensors are part of what a replay is for."""
    run = backlit.capture(lambda x, scale: x * scale[0])
    for k in range(4):
        assert run(backlit.ones(1), [float(k)]).item() == k
    assert run.why == "an argument is neither a tensor nor hashable"


def test_numbers_that_are_equal_and_not_the_same() -> None:
    """1, 1.0 and True are different arguments, and so are 0.0 and -0.0."""
    step = backlit.capture(lambda x, number: x * (number[0] if type(number) is tuple else number))
    x = backlit.tensor([1, 2])
    for _ in range(4):
        found = [step(x, n) for n in (1, 1.0, True, (1,), (1.0,), 0.0, -0.0)]
        dtypes = [str(t.dtype).removeprefix("backlit.") for t in found]
        assert dtypes == ["int64", "float32", "int64", "int64", *["float32"] * 3]
        assert [repr(t.tolist()) for t in found[-2:]] == ["[0.0, 0.0]", "[-0.0, -0.0]"]


def test_given_up_calls_keep_nothing() -> None:
    """The tensors of the last observed call are freed once a function is given up."""
    kept = []

    def step(x: backlit.Tensor) -> float:
        y = x * 2
        kept.append(weakref.ref(y))
        return y.sum().item()

    captured = backlit.capture(step)
    for _ in range(20):
        captured(backlit.ones(3))
    assert captured.why
    assert all(ref() is None for ref in kept)


def test_an_observed_call_keeps_no_gradients() -> None:
    """Between the calls that are compared, only the user holds what the first one made."""
    w = backlit.ones(3, requires_grad=True)

    def step() -> Any:
        w.grad = None
        loss = (w * 2).sum()
        loss.backward()
        return loss

    captured = backlit.capture(step)
    captured()
    assert w.grad is not None
    gradient = weakref.ref(w.grad._data)
    w.grad = None
    assert gradient() is None
    captured()
    assert captured.why == ""


def test_gradients_that_are_held_stay_as_they_are() -> None:
    """The next call makes new ones for whoever holds the tensor or its array."""
    w = backlit.ones(3, requires_grad=True)

    @backlit.capture
    def step(x: backlit.Tensor) -> backlit.Tensor:
        w.grad = None
        loss = (w * x).sum()
        loss.backward()
        return loss

    held: list[tuple[Any, list[float]]] = []
    for k in range(9):
        step(backlit.full((3,), float(k)))
        grad = w.grad
        assert grad is not None
        assert grad.tolist() == [k] * 3
        if k % 3 == 1:
            held.append((grad, grad.tolist()))
        elif k % 3 == 2:
            held.append((grad.numpy(), grad.tolist()))
        del grad
    assert step.why == ""
    assert all(kept.tolist() == expected for kept, expected in held)
    w.grad.mul_(2)  # type: ignore[union-attr]
    step(backlit.ones(3))
    assert w.grad is not None
    assert w.grad.tolist() == [1, 1, 1]


def test_an_error_leaves_the_state_as_it_was() -> None:
    """An index out of range in a replayed step changes no weight."""
    model, _, step = make("plain", "SGD", {"lr": 0.1})
    run = backlit.capture(step)
    for x, y in batches():
        run(x, y)
    before = [p.tolist() for p in model.parameters()]
    with pytest.raises(IndexError):
        run(backlit.tensor(X[:10]), backlit.tensor(Y[:10] + 5))
    assert [p.tolist() for p in model.parameters()] == before
    run(*batches()[0])


def test_capture_takes_functions() -> None:
    with pytest.raises(backlit.errors.BacklitError) as error:
        backlit.capture(3)  # type: ignore[arg-type]
    assert str(error.value) == "capture: 3 is not a function."


def add_one(x: backlit.Tensor) -> backlit.Tensor:
    return x + 1


def test_copies_observe_for_themselves() -> None:
    """A pickled captured function is one of the same function."""
    run = backlit.capture(add_one)
    for _ in range(3):
        run(backlit.zeros(2))
    made = pickle.loads(pickle.dumps(run))
    assert made.why == "not called yet"
    assert made(backlit.zeros(2)).tolist() == [1, 1]


def test_constants_and_views_made_inside() -> None:
    """Zeros to begin with, and parts of arguments and of closed tensors, are part of a step."""
    table = backlit.tensor([[1.0, 2.0], [3.0, 4.0]])

    @backlit.capture
    def step(x: Any) -> Any:
        return backlit.zeros(2) + x[1] * table[0] + x.T[:, 0]

    for k in range(6):
        x = backlit.tensor([[1.0, 10.0 * k], [2.0, float(k)]])
        assert step(x).tolist() == [2 + 1, 2 * k + 10 * k]
        if k == 4:
            table.mul_(1)
    assert step.why == ""


def test_values_of_arguments_are_looked_at() -> None:
    """Reading an argument is noticed, computed or not."""

    @backlit.capture
    def step(x: Any) -> Any:
        return x * x[0].item()

    for k in range(4):
        assert step(backlit.tensor([float(k), 1.0])).tolist() == [k * k, k]
    assert step.why.startswith("it looks at values")
