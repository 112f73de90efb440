"""state_dict and load_state_dict."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_state_dict_shares_memory_and_has_versions() -> None:
    """Values are the parameters', detached; each module's version is noted."""
    m = model()
    state = m.state_dict()
    assert list(state) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
        "1.num_batches_tracked",
    ]  # fmt: skip
    assert type(state) is OrderedDict
    assert not state["0.weight"].requires_grad
    assert m.state_dict(keep_vars=True)["0.weight"] is m[0].weight
    assert state._metadata == {"": {"version": 1}, "0": {"version": 1}, "1": {"version": 2}}  # type: ignore[attr-defined]
    with backlit.no_grad():
        m[0].bias.mul_(0)
    assert state["0.bias"].tolist() == [0.0, 0.0, 0.0]


def test_load_copies_values_into_the_same_parameters() -> None:
    """Round trip: the same numbers in other memory."""
    a, b = model(), model()
    p = b[0].weight
    result = b.load_state_dict(a.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert b[0].weight is p
    assert p.tolist() == a[0].weight.tolist()
    assert p.requires_grad
    with backlit.no_grad():
        a[0].weight.mul_(0)
    assert p.tolist() != a[0].weight.tolist()


def test_load_converts_to_the_dtype_of_the_model() -> None:
    """A float64 checkpoint fits a float32 model."""
    m = nn.Linear(1, 1)
    m.load_state_dict(
        {"weight": backlit.tensor([[2.0]], dtype=backlit.float64), "bias": backlit.tensor([1.0])}
    )
    assert m.weight.dtype is backlit.float32
    assert m(backlit.tensor([3.0])).item() == 7.0


def test_assign_takes_the_tensors_themselves() -> None:
    """With their dtype; they become parameters."""
    m = nn.Linear(1, 1, bias=False)
    w = backlit.tensor([[2.0]], dtype=backlit.float64)
    m.load_state_dict({"weight": w}, assign=True)
    assert isinstance(m.weight, nn.Parameter)
    assert m.weight.dtype is backlit.float64
    own = nn.Parameter(backlit.tensor([[5.0]]))
    m.load_state_dict({"weight": own}, assign=True)
    assert m.weight is own


def test_all_problems_are_reported_at_once() -> None:
    """Missing, unexpected, wrong sizes and wrong types of every module in one error."""
    state: dict[str, Any] = {
        "0.weight": backlit.zeros(3, 4), "0.bias": 7, "1.weight": backlit.ones(3),
        "1.bias": backlit.ones(3), "1.running_mean": backlit.ones(3), "1.extra": backlit.ones(1),
        "1.num_batches_tracked": backlit.tensor(0), "2.weight": backlit.ones(1),
    }  # fmt: skip
    with pytest.raises(ArgumentError) as error:
        model().load_state_dict(state)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "1.running_var". \n'
        '\tUnexpected key(s) in state_dict: "2.weight", "1.extra". \n'
        "\tsize mismatch for 0.weight: copying a param with shape Size([3, 4]) from checkpoint, "
        "the shape in current model is Size([3, 2]).\n"
        '\tWhile copying the parameter named "0.bias", expected torch.Tensor or Tensor-like object '
        "from checkpoint but received <class 'int'>"
    )


def test_another_architecture_is_a_clear_error() -> None:
    """F12: a network is its architecture and its parameters; the wrong one is refused by name."""
    with pytest.raises(RuntimeError, match=r"size mismatch for layers\.0\.weight"):
        nn.MLP([2, 5, 3]).load_state_dict(nn.MLP([2, 4, 3]).state_dict())


def test_not_strict_returns_what_did_not_match() -> None:
    """Missing and unexpected keys are listed, not raised."""
    result = nn.Linear(1, 1).load_state_dict(
        {"weight": backlit.zeros(1, 1), "more": 1}, strict=False
    )
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["more"]
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['more'])"


def test_state_must_be_a_mapping() -> None:
    """PyTorch's message."""
    with pytest.raises(TypeError) as error:
        nn.Identity().load_state_dict([1])  # type: ignore[arg-type]
    assert str(error.value) == "Expected state_dict to be dict-like, got <class 'list'>."


def test_a_number_fits_a_vector_of_one() -> None:
    """Checkpoints of PyTorch before 0.4 stored numbers as vectors."""
    m = nn.Module()
    m.register_buffer("n", backlit.tensor(0.0))
    m.load_state_dict({"n": backlit.tensor([4.0])})
    assert m.n.item() == 4.0


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.state = {"steps": 0}

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


def test_extra_state_is_saved_and_loaded() -> None:
    """Anything besides tensors travels under its own key."""
    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].state = {"steps": 3}
    assert list(a.state_dict()) == ["0._extra_state"]
    b.load_state_dict(a.state_dict())
    assert b[0].state == {"steps": 3}
    assert b.load_state_dict({}, strict=False).missing_keys == ["0._extra_state"]
    plain = nn.Sequential(nn.Identity())
    assert plain.load_state_dict(a.state_dict(), strict=False).unexpected_keys == ["0._extra_state"]


def test_extra_state_needs_both_methods() -> None:
    """Half of the pair is a mistake."""
    with pytest.raises(NotImplementedError) as error:
        nn.Identity().get_extra_state()
    assert str(error.value) == (
        "Reached a code path in Module.get_extra_state() that should never be called: override it "
        "together with set_extra_state()."
    )
    with pytest.raises(NotImplementedError) as error:
        nn.Identity().set_extra_state(1)
    assert str(error.value) == (
        "Reached a code path in Module.set_extra_state() that should never be called: override it "
        "together with get_extra_state()."
    )


def test_old_batch_norm_states_lack_the_counter() -> None:
    """Version 1 of BatchNorm did not count batches."""
    m = nn.BatchNorm1d(2)
    state = {k: t for k, t in m.state_dict().items() if k != "num_batches_tracked"}
    assert repr(m.load_state_dict(state)) == "<All keys matched successfully>"


def test_lazy_parameters_take_the_shape_of_the_state() -> None:
    """Loading initialises a lazy module; the other way round is refused."""
    lazy = nn.LazyLinear(3)
    lazy.load_state_dict(nn.Linear(2, 3).state_dict())
    assert tuple(lazy.weight.shape) == (3, 2)
    assert repr(lazy(backlit.zeros(1, 2)).shape) == "Size([1, 3])"
    assert type(lazy) is nn.Linear
    assert lazy.in_features == 2
    with pytest.raises(RuntimeError) as error:
        nn.Linear(2, 3, bias=False).load_state_dict(nn.LazyLinear(3, bias=False).state_dict())
    assert str(error.value) == (
        "Error(s) in loading state_dict for Linear:\n"
        '\tWhile copying the parameter named "weight", the parameter in the checkpoint has no '
        "shape yet; run the saved model once before saving it."
    )


# -- hooks -----------------------------------------------------------------------------------


def test_state_dict_hooks() -> None:
    """Before and after saving; a private post-hook may replace the result."""
    m = nn.Linear(1, 1)
    seen: list[Any] = []
    m.register_state_dict_pre_hook(lambda module, prefix, keep: seen.append((prefix, keep)))
    m.register_state_dict_post_hook(lambda module, state, prefix, meta: state.pop("bias") and None)
    handle = m._register_state_dict_hook(lambda module, state, prefix, meta: {"only": 1})
    assert m.state_dict() == {"only": 1}
    handle.remove()
    assert list(m.state_dict(prefix="p.", destination={"p.bias": 0, "bias": 1})) == [
        "p.bias",
        "p.weight",
    ]
    assert seen == [("", False), ("p.", False)]


def test_a_public_post_hook_returns_nothing() -> None:
    """It changes the state in place."""
    m = nn.Linear(1, 1)
    m.register_state_dict_post_hook(lambda *args: {})
    with pytest.raises(ArgumentError) as error:
        m.state_dict()
    assert str(error.value) == "state_dict post-hook must return None"


def test_load_hooks() -> None:
    """Before loading the state may be changed; after it, the lists of keys."""
    m = nn.Linear(1, 1)

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        state[prefix + "weight"] = state.pop(prefix + "w")

    def forgive(module: Any, keys: Any) -> None:
        keys.missing_keys.clear()

    seen: list[str] = []
    m.register_load_state_dict_pre_hook(rename)
    m._register_load_state_dict_pre_hook(lambda state, prefix, *rest: seen.append(prefix))
    m.register_load_state_dict_post_hook(forgive)
    m.load_state_dict({"w": backlit.tensor([[5.0]])})
    assert m.weight.item() == 5.0
    assert seen == [""]


def test_a_load_hook_returns_nothing() -> None:
    """PyTorch's message."""
    m = nn.Identity()
    m.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(ArgumentError) as error:
        m.load_state_dict({})
    assert str(error.value) == (
        "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return "
        "new values, if incompatible_keys need to be modified, it should be done inplace."
    )
