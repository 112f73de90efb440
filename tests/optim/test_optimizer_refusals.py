"""What optimizers refuse, with every message in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
from backlit import optim
from backlit.errors import ArgumentError, GradientError


def pair() -> tuple[Any, Any]:
    return (
        backlit.tensor([1.0, 2.0], requires_grad=True),
        backlit.tensor([3.0], requires_grad=True),
    )


def options(kind: str, **kwargs: Any) -> Callable[[], Any]:
    return lambda: getattr(optim, kind)([backlit.zeros(2, requires_grad=True)], **kwargs)


TENSOR = backlit.tensor(0.5)
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (options("SGD", lr=-1.0), "Invalid learning rate: -1.0 - should be >= 0."),
    (options("SGD", lr=backlit.ones(2)), "Tensor lr must be 1-element, got shape (2,)."),
    (options("SGD", momentum=-0.5), "Invalid momentum value: -0.5 - should be >= 0."),
    (options("EMAMomentum", momentum=1.0), "Invalid momentum value: 1.0 - should be in [0, 1)."),
    (
        options("SGD", nesterov=True),
        "Nesterov momentum requires a momentum and zero dampening.",
    ),
    (
        options("Adam", betas=(1.0, 0.9)),
        "Invalid beta parameter at index 0: 1.0 - should be in [0, 1).",
    ),
    (
        options("Adam", lr=TENSOR, foreach=True),
        "lr as a Tensor is not supported for capturable=False and foreach=True; give a float.",
    ),
    (
        options("Adam", betas=(TENSOR, 0.9)),
        "betas must be either both floats or both Tensors.",
    ),
    (
        options("Adam", betas=(TENSOR, TENSOR), foreach=True),
        "betas[0] as a Tensor is not supported for capturable=False and foreach=True.",
    ),
    (options("Adadelta", rho=1.5), "Invalid rho value: 1.5 - should be in [0, 1]."),
    (
        options("Rprop", etas=(1.5, 0.5)),
        "Invalid eta values: 1.5, 0.5 - should be 0 < η₁ < 1 < η₂.",
    ),
    (
        options("Adafactor", beta2_decay=0.8),
        "Invalid beta2_decay: 0.8 - beta2_decay should be <= 0.",
    ),
    (options("Adafactor", d=0.5), "Invalid d: 0.5 - Clipping threshold d should be >= 1."),
    (
        options("Adafactor", eps=(-1.0, 1e-3)),
        "Invalid eps: (-1.0, 0.001) - epsilon1 should be >= 0.",
    ),
    (
        options("SparseAdam", lr=backlit.ones(2)),
        "Tensor lr must be 1-element, got shape (2,).",
    ),
    (options("SparseAdam", lr=0.0), "Invalid learning rate: 0.0 - should be > 0."),
    (
        options("LBFGS", line_search_fn="armijo"),
        "LBFGS: only 'strong_wolfe' is supported, got 'armijo'.",
    ),
    (
        lambda: optim.LBFGS([{"params": [p]} for p in pair()]),
        "LBFGS doesn't support per-parameter options (parameter groups); give one list.",
    ),
    (
        lambda: optim.LBFGS([pair()[0]]).step(),
        "LBFGS.step() needs a closure that computes the loss and its gradients.",
    ),
    (
        options("Muon"),
        (
            "Muon only supports 2D parameters whereas we found a parameter with size: (2,); give "
            "the others to AdamW."
        ),
    ),
    (
        options("Muon", adjust_lr_fn="twice"),
        (
            "Adjust learning rate function twice is not supported; use 'original' or "
            "'match_rms_adamw'."
        ),
    ),
    (
        lambda: optim.SGD([]),
        "optimizer got an empty parameter list; pass model.parameters().",
    ),
    (
        lambda: optim.SGD([pair()[0] * 2]),
        "can't optimize a non-leaf Tensor; optimize the leaves it was computed from.",
    ),
    (
        lambda: optim.SGD([("a", pair()[0]), pair()[1]]),
        "all optimizer params should be with/without names. Some param names are missing.",
    ),
    (
        lambda: optim.SGD([pair()[0]]).add_param_group({"params": [("b", pair()[1])]}),
        (
            "all optimizer param groups should be with/without names. cannot add param group with "
            "names present to the optimizer."
        ),
    ),
    (
        lambda: optim.SGD([{"params": [TENSOR]}, {"params": [TENSOR]}]),
        "some parameters appear in more than one parameter group.",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_refused_options(call: Callable[[], Any], message: str) -> None:
    """What makes no sense is refused at once, with the option's name and value."""
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


WRONG_TYPES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: optim.SGD(pair()[0]),
        (
            "params argument given to the optimizer should be an iterable of Tensors or dicts, but "
            "got Tensor; pass [tensor] or model.parameters()."
        ),
    ),
    (
        lambda: optim.SGD([1.0]),
        "optimizer can only optimize Tensors, but one of the params is float.",
    ),
    (
        lambda: optim.SGD([{"params": set(pair())}]),
        (
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        ),
    ),
    (
        lambda: optim.SGD([pair()[0]]).add_param_group([pair()[1]]),  # type: ignore[arg-type]
        "param_group must be a dict, but got list.",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG_TYPES, ids=[m[:40] for _, m in WRONG_TYPES])
def test_refused_types(call: Callable[[], Any], message: str) -> None:
    """What is no tensor, or in no order, is refused."""
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_loading_another_models_state() -> None:
    """Groups must be as many, and as large, as those that were saved."""
    a, b = pair()
    one, two = optim.SGD([a, b]), optim.SGD([{"params": [a]}, {"params": [b]}])
    with pytest.raises(ArgumentError) as caught:
        one.load_state_dict(two.state_dict())
    assert str(caught.value) == (
        "loaded state dict has a different number of parameter groups (2) than the optimizer (1)."
    )
    with pytest.raises(ArgumentError) as caught:
        one.load_state_dict(optim.SGD([a]).state_dict())
    assert str(caught.value) == (
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
        "group: group 0 has 1 parameters, the optimizer's 2."
    )


def test_duplicate_parameters_warn() -> None:
    """The same parameter twice in a group is a mistake that PyTorch only warns of."""
    a, _ = pair()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([a, a])


def test_sparse_and_dense_gradients_are_not_mixed_up() -> None:
    """SparseAdam takes sparse gradients only, all others dense ones only."""
    a, _ = pair()
    a.grad = backlit.ones(2)
    with pytest.raises(GradientError) as caught:
        optim.SparseAdam([a]).step()
    assert str(caught.value) == (
        "SparseAdam does not support dense gradients, please consider Adam instead."
    )
    a.grad = backlit.sparse_coo_tensor([[0]], [1.0], (2,))
    with pytest.raises(GradientError) as caught:
        optim.Adam([a]).step()
    assert str(caught.value) == (
        "Adam does not support sparse gradients, please consider SparseAdam instead, or set "
        "p.grad = p.grad.to_dense()."
    )


def test_an_optimizer_without_a_rule_says_so() -> None:
    """A subclass defines either the rule or its own step."""

    class Nothing(optim.Optimizer):
        pass

    a, _ = pair()
    a.sum().backward()
    with pytest.raises(NotImplementedError) as caught:
        Nothing([a], {}).step()
    assert str(caught.value) == (
        "Nothing: an optimizer must define `numbers` and `rule`, or its own `step`."
    )
