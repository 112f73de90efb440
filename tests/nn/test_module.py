"""Module: attributes, registration, walking, conversion, text."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import backlit
from backlit import nn
from backlit.core.trace import module_scopes
from backlit.errors import GradientError


class Affine(nn.Module):
    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(backlit.tensor([scale]))
        self.register_parameter("shift", None)
        self.register_buffer("count", backlit.tensor(0))
        self.register_buffer("cache", backlit.tensor([1.0]), persistent=False)

    def forward(self, x: Any) -> Any:
        return x * self.scale


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Affine(2.0)
        self.second = Affine(3.0)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def names(pairs: Any) -> list[str]:
    return [name for name, _ in pairs]


# -- attributes ------------------------------------------------------------------------------


def test_assignment_registers_by_kind() -> None:
    """Parameters, modules and buffers are found by kind, in order; the rest is plain."""
    m = Affine()
    m.note = "text"
    m.extra = nn.Buffer(backlit.tensor([2.0]))
    assert names(m.named_parameters()) == ["scale"]
    assert names(m.named_buffers()) == ["count", "cache", "extra"]
    assert list(m.state_dict()) == ["scale", "count", "extra"]
    assert m.note == "text"
    assert list(m._parameters) == ["scale", "shift"]
    assert m._non_persistent_buffers_set == {"cache"}


def test_reassignment_keeps_the_place_and_a_new_kind_moves_to_the_end() -> None:
    """The order of state dicts does not change when a parameter is replaced."""
    m = nn.Module()
    m.a = nn.Parameter(backlit.tensor([1.0]))
    m.b = nn.Parameter(backlit.tensor([2.0]))
    m.a = nn.Parameter(backlit.tensor([3.0]))
    assert names(m.named_parameters()) == ["a", "b"]
    m.a = nn.Identity()
    assert names(m.named_parameters()) == ["b"]
    assert names(m.named_children()) == ["a"]
    m.b = None
    assert names(m.named_parameters()) == []
    assert m.b is None
    m.b = nn.Parameter(backlit.tensor([4.0]))
    assert names(m.named_parameters()) == ["b"]


def test_deletion_unregisters() -> None:
    """A deleted attribute is in no list."""
    m = Affine()
    del m.scale
    assert names(m.named_parameters()) == []
    assert not hasattr(m, "scale")


def test_registries_change_the_module() -> None:
    """`_parameters`, `_buffers` and `_modules` behave as the dictionaries they are in PyTorch."""
    m = Affine()
    m._parameters["scale"] = nn.Parameter(backlit.tensor([7.0]))
    assert m.scale.item() == 7.0
    del m._buffers["count"]
    assert names(m.named_buffers()) == ["cache"]
    assert len(m._buffers) == 1
    assert repr(m._parameters) == repr(dict(m._parameters))
    with pytest.raises(KeyError, match="the module has no child module 'scale'"):
        m._modules["scale"]


def test_unknown_attribute_names_the_closest() -> None:
    """Class, name, and what was probably meant."""
    m = Affine()
    with pytest.raises(AttributeError) as error:
        _ = m.scal
    assert str(error.value) == "'Affine' object has no attribute 'scal'; did you mean 'scale'?"
    with pytest.raises(AttributeError) as error:
        _ = m.zzz
    assert str(error.value) == "'Affine' object has no attribute 'zzz'"


@pytest.mark.parametrize(
    "name, value, message",
    [
        (
            "scale",
            1.0,
            "cannot assign 'float' as parameter 'scale' (torch.nn.Parameter or None expected)",
        ),
        (
            "first",
            1.0,
            "cannot assign 'float' as child module 'first' (torch.nn.Module or None expected)",
        ),
        (
            "count",
            "x",
            (
                "cannot assign 'str' as buffer 'count' (torch.nn.Buffer, torch.Tensor or "
                "None expected)"
            ),
        ),
    ],
)
def test_a_registered_name_keeps_its_kind(name: str, value: Any, message: str) -> None:
    """Something else under the name of a parameter, child or buffer is probably a mistake."""
    m = Affine()
    m.first = nn.Identity()
    with pytest.raises(TypeError) as error:
        setattr(m, name, value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "value, kind",
    [(nn.Parameter(backlit.tensor([1.0])), "parameter"), (nn.Identity(), "child module")],
)
def test_assignment_before_the_base_constructor(value: Any, kind: str) -> None:
    """The message shows the missing call."""

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.part = value

    with pytest.raises(AttributeError) as error:
        Forgetful()
    assert str(error.value) == (
        f"cannot assign {kind} before Module.__init__() call; start the constructor of Forgetful "
        "with super().__init__()."
    )


def test_registration_before_the_base_constructor() -> None:
    """register_* says so too."""

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.register_buffer("b", None)

    with pytest.raises(AttributeError) as error:
        Forgetful()
    assert str(error.value) == "cannot assign buffer before Module.__init__() call"


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda m: m.register_parameter(3, None),
            TypeError,
            "parameter name should be a string. Got int",
        ),
        (
            lambda m: m.register_buffer("a.b", None),
            KeyError,
            'buffer name can\'t contain ".", got: a.b',
        ),
        (lambda m: m.add_module("", None), KeyError, 'module name can\'t be empty string ""'),
        (
            lambda m: m.register_parameter("forward", None),
            KeyError,
            "attribute 'forward' already exists",
        ),
        (
            lambda m: m.add_module("scale", nn.Identity()),
            KeyError,
            "attribute 'scale' already exists",
        ),
        (lambda m: m.add_module("x", 3), TypeError, "int is not a Module subclass"),
        (
            lambda m: m.register_parameter("x", backlit.tensor([1.0])),
            TypeError,
            "cannot assign 'Tensor' object to parameter 'x' (torch.nn.Parameter or None required)",
        ),
        (
            lambda m: m.register_buffer("x", 3),
            TypeError,
            "cannot assign 'int' object to buffer 'x' (torch Tensor or None required)",
        ),
    ],
)
def test_what_register_refuses(call: Any, kind: type[Exception], message: str) -> None:
    """Names that could not be addressed, and values of the wrong kind."""
    with pytest.raises(kind) as error:
        call(Affine())
    assert error.value.args[0] == message


def test_a_computed_parameter_is_refused() -> None:
    """A parameter is a leaf: it would otherwise never learn."""
    p = nn.Parameter(backlit.tensor([1.0]))
    with pytest.raises(GradientError) as error:
        nn.Module().register_parameter("x", _as_parameter(p * 2))
    assert str(error.value) == (
        "Cannot assign non-leaf Tensor to parameter 'x'. Model parameters must be created "
        "explicitly; to express it as a function of another tensor, compute the value in the "
        "forward() method."
    )


def _as_parameter(t: Any) -> Any:
    t.__class__ = nn.Parameter
    return t


# -- calling ---------------------------------------------------------------------------------


def test_call_runs_forward_inside_its_scope() -> None:
    """While a module runs, the path to it is known, also after an error."""
    seen: list[tuple[str, ...]] = []

    class Spy(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append(module_scopes())
            if x is None:
                raise ValueError("stop")
            return x

    model = nn.Sequential(nn.Sequential(Spy()))
    model(1)
    with pytest.raises(ValueError, match="stop"):
        model(None)
    assert seen == [("Sequential", "0", "0")] * 2
    assert module_scopes() == ()


def test_missing_forward() -> None:
    """PyTorch's message."""
    with pytest.raises(NotImplementedError) as error:
        nn.Module()(1)
    assert str(error.value) == 'Module [Module] is missing the required "forward" function'


# -- walking ---------------------------------------------------------------------------------


def test_named_walks_give_dotted_names_and_each_object_once() -> None:
    """Shared modules and parameters are listed under their first name."""
    m = Pair()
    m.again = m.first
    assert names(m.named_modules()) == ["", "first", "second"]
    assert names(m.named_parameters()) == ["first.scale", "second.scale"]
    assert names(m.named_parameters(remove_duplicate=False)) == [
        "first.scale", "second.scale", "again.scale",
    ]  # fmt: skip
    assert names(m.named_parameters("net", recurse=False)) == []
    assert names(m.first.named_parameters("net")) == ["net.scale"]
    assert names(m.named_buffers()) == [
        "first.count", "first.cache", "second.count", "second.cache",
    ]  # fmt: skip
    assert len(list(m.children())) == 2
    assert len(list(m.modules())) == 3
    assert len(list(m.buffers())) == 4
    assert len(list(m.parameters())) == 2


def test_get_by_dotted_name() -> None:
    """Submodules, parameters and buffers are found by path."""
    m = Pair()
    assert m.get_submodule("") is m
    assert m.get_submodule("first") is m.first
    assert m.get_parameter("first.scale") is m.first.scale
    assert m.get_buffer("second.count") is m.second.count
    m.set_submodule("second", nn.Identity())
    assert isinstance(m.second, nn.Identity)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda m: m.get_submodule("third"), AttributeError, "Pair has no attribute `third`"),
        (lambda m: m.get_submodule("first.scale"), AttributeError, "`scale` is not an nn.Module"),
        (lambda m: m.get_parameter("first.none"), AttributeError, "Affine has no attribute `none`"),
        (
            lambda m: m.get_parameter("first.count"),
            AttributeError,
            "`count` is not an nn.Parameter",
        ),
        (lambda m: m.get_buffer("first.scale"), AttributeError, "`scale` is not a buffer"),
        (
            lambda m: m.set_submodule("", nn.Identity()),
            ValueError,
            "Cannot set the submodule without a target name!",
        ),
        (
            lambda m: m.set_submodule("first", 3),
            ValueError,
            "`module` is not an nn.Module, found <class 'int'>",
        ),
        (
            lambda m: m.set_submodule("new", nn.Identity(), strict=True),
            AttributeError,
            "Pair has no attribute `new`",
        ),
    ],
)
def test_wrong_dotted_names(call: Any, kind: type[Exception], message: str) -> None:
    """Which part of the path is wrong."""
    with pytest.raises(kind) as error:
        call(Pair())
    assert str(error.value) == message


# -- changing everything at once -------------------------------------------------------------


def test_apply_visits_children_first() -> None:
    """The order in which PyTorch initialises."""
    seen: list[str] = []
    m = Pair()
    assert m.apply(lambda module: seen.append(type(module).__name__)) is m
    assert seen == ["Affine", "Affine", "Pair"]


def test_to_converts_floats_only_and_keeps_the_objects() -> None:
    """Parameters stay the same objects, so optimizers keep hold of them; gradients follow."""
    m = Pair()
    p = m.first.scale
    m(backlit.tensor([1.0])).backward()
    assert m.double() is m
    assert m.first.scale is p
    assert p.dtype is backlit.float64
    assert p.grad is not None
    assert p.grad.dtype is backlit.float64
    assert m.first.count.dtype is backlit.int64
    assert m.first.cache.dtype is backlit.float64
    assert p.is_leaf
    assert p.requires_grad
    m.to("cpu", backlit.float32)
    assert p.dtype is backlit.float32
    m.to(backlit.tensor([1.0], dtype=backlit.float64))
    assert p.dtype is backlit.float64
    assert m.half().first.scale.dtype is backlit.float16
    assert m.bfloat16().first.scale.dtype is backlit.bfloat16
    assert m.float().first.scale.dtype is backlit.float32
    assert m.first.type(backlit.float64).count.dtype is backlit.float64


def test_to_refuses_integers_and_other_devices() -> None:
    """Weights are floating-point numbers on the CPU."""
    with pytest.raises(TypeError) as error:
        Affine().to(backlit.int64)
    assert str(error.value).startswith(
        "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype="
    )
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        Affine().cuda()
    m = Affine()
    assert m.cpu() is m
    assert m.to_empty(device="cpu") is m
    assert m.share_memory() is m
    assert m.compile() is m


def test_train_and_eval_reach_every_module() -> None:
    """The mode is that of all modules below."""
    m = Pair()
    assert m.training
    assert not m.eval().second.training
    assert m.train().second.training
    with pytest.raises(ValueError, match=r"^training mode is expected to be boolean$"):
        m.train("yes")  # type: ignore[arg-type]


def test_zero_grad_and_requires_grad() -> None:
    """Gradients become None, or zero; freezing stops their collection."""
    m = Pair()
    m(backlit.tensor([1.0])).backward()
    m.zero_grad(set_to_none=False)
    assert m.first.scale.grad.item() == 0.0
    m.zero_grad()
    assert m.first.scale.grad is None
    assert not m.requires_grad_(False)(backlit.tensor([1.0])).requires_grad


# -- copies and text -------------------------------------------------------------------------


def test_deepcopy_and_pickle_make_independent_modules() -> None:
    """Same outputs, other parameters."""
    m = Pair()
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other(backlit.tensor([1.0])).item() == 6.0
        assert other.first.scale is not m.first.scale
        assert names(other.named_parameters()) == names(m.named_parameters())


def test_shallow_copy_shares_parameters_but_not_the_registry() -> None:
    """Adding to a copy does not change the original."""
    m = Pair()
    other = copy.copy(m)
    other.third = nn.Identity()
    assert other.first is m.first
    assert names(m.named_children()) == ["first", "second"]


def test_repr_nests_and_indents() -> None:
    """One line without children, several lines otherwise."""

    class Described(nn.Module):
        def extra_repr(self) -> str:
            return "a=1\nb=2"

    assert repr(nn.Identity()) == "Identity()"
    assert repr(Described()) == "Described(\n  a=1\n  b=2\n)"
    assert repr(nn.Sequential(Pair(), nn.Linear(1, 2))) == (
        "Sequential(\n  (0): Pair(\n    (first): Affine()\n    (second): Affine()\n  )\n"
        "  (1): Linear(in_features=1, out_features=2, bias=True)\n)"
    )
