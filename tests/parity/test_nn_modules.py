"""Modules against PyTorch's: signatures, text, state dicts, hooks, errors."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn

torch = pytest.importorskip("torch")

OURS_ONLY = {
    "Gaussian", "MLP", "MPUnit", "Maxout", "Perceptron", "Residual", "ScaledDropout", "Sign",
    "Step",
}  # fmt: skip
CLASSES = sorted(
    name
    for name in nn.__all__
    if inspect.isclass(getattr(nn, name))
    and issubclass(getattr(nn, name), nn.Module)
    and name not in OURS_ONLY
)
LAYERS = {
    "Linear": ((3, 5), {}), "Linear_without_bias": ((3, 5), {"bias": False}),
    "Bilinear": ((2, 3, 4), {}), "LazyLinear": ((4,), {}), "Identity": ((1,), {"unused": 2}),
    "Embedding": ((5, 3, -1, 2.0, 1.0, True, True), {}),
    "EmbeddingBag": ((5, 3), {"mode": "sum", "padding_idx": 1, "max_norm": 1.0}),
    "Dropout": ((0.3, True), {}), "BatchNorm1d": ((4,), {}),
    "BatchNorm2d": ((4,), {"affine": False}),
    "BatchNorm3d": ((4,), {"track_running_stats": False, "bias": False}),
    "InstanceNorm1d": ((4,), {"affine": True, "track_running_stats": True}),
    "LayerNorm": (([3, 4],), {}), "LayerNorm_plain": ((3,), {"elementwise_affine": False}),
    "GroupNorm": ((2, 4), {}), "RMSNorm": ((3,), {}), "LocalResponseNorm": ((3,), {}),
    "CrossMapLRN2d": ((3,), {}), "Threshold": ((0.1, 20), {"inplace": True}), "RReLU": ((), {}),
    "Hardtanh": ((-2.0, 2.0, True), {}), "ReLU6": ((True,), {}), "ELU": ((0.5, True), {}),
    "GLU": ((), {}), "GELU": (("tanh",), {}), "PReLU": ((3,), {}), "Softmax": ((1,), {}),
    "Softplus": ((2.0,), {}), "Softshrink": ((), {}), "LeakyReLU": ((), {}),
    "Hardswish": ((True,), {}),
    "Flatten": ((), {}), "Unflatten": ((1, (2, 3)), {}), "PixelShuffle": ((2,), {}),
    "ChannelShuffle": ((2,), {}), "Fold": (((4, 5), 2), {}), "Unfold": ((2,), {"padding": 1}),
    "ZeroPad2d": ((1,), {}), "ConstantPad1d": (((1, 2), 3.5), {}), "ReflectionPad3d": ((1,), {}),
    "CircularPad1d": ((1,), {}), "Upsample": ((), {"scale_factor": 2, "mode": "bilinear"}),
    "UpsamplingNearest2d": ((3,), {}), "UpsamplingBilinear2d": ((), {"scale_factor": (1, 2)}),
    "CrossEntropyLoss": ((), {}),
    "LinearCrossEntropyLoss": ((3, 4), {}), "CosineSimilarity": ((), {}),
    "TripletMarginWithDistanceLoss": ((), {}), "ModuleList": ((), {}),
    "ParameterList": ((), {}), "Sequential": ((), {}), "ModuleDict": ((), {}),
}  # fmt: skip


def pair(name: str) -> tuple[Any, Any]:
    """The same layer from both libraries."""
    args, kwargs = LAYERS[name]
    kind = name.split("_", maxsplit=1)[0]
    return getattr(nn, kind)(*args, **kwargs), getattr(torch.nn, kind)(*args, **kwargs)


@pytest.mark.parametrize("name", CLASSES)
def test_constructor_takes_the_same_arguments(name: str) -> None:
    """Names, order, kinds and defaults are PyTorch's."""
    theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters
    ours = inspect.signature(getattr(nn, name).__init__).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in theirs.values()):
        return  # Module, Sequential, Identity: anything goes
    expected = [(p.name, p.kind, repr(p.default)) for p in theirs.values()]
    assert [(p.name, p.kind, repr(p.default)) for p in ours.values()] == expected


@pytest.mark.parametrize("name", CLASSES)
def test_forward_takes_the_same_arguments(name: str) -> None:
    """Names and order of the inputs are PyTorch's."""
    theirs = inspect.signature(getattr(torch.nn, name).forward).parameters
    ours = inspect.signature(getattr(nn, name).forward).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in (*ours.values(), *theirs.values())):
        return
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_text_and_state(name: str) -> None:
    """repr, state_dict keys and shapes, and training state are equal."""
    ours, theirs = pair(name)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if not name.startswith("Lazy"):
        shapes = {k: tuple(t.shape) for k, t in theirs.state_dict().items()}
        assert {k: tuple(t.shape) for k, t in ours.state_dict().items()} == shapes


def test_a_nested_model_prints_the_same() -> None:
    """Indentation of nested containers."""

    def make(lib: Any) -> Any:
        block = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.ReLU())
        listed = lib.nn.ModuleList([lib.nn.Linear(1, 1), lib.nn.Linear(1, 1), lib.nn.Tanh()])
        holder = lib.nn.ModuleDict({"a": block, "b": listed})
        holder.add_module("none", None)
        return lib.nn.Sequential(holder, lib.nn.Dropout())

    assert repr(make(backlit)) == repr(make(torch))


def test_errors_of_load_state_dict_are_worded_the_same() -> None:
    """Only the name of the size class differs."""

    def message(lib: Any) -> str:
        model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.BatchNorm1d(3))
        state = model.state_dict()
        state["0.weight"] = lib.zeros(3, 4)
        del state["0.bias"], state["1.running_mean"]
        state["more"] = state["1.more.deep"] = lib.zeros(1)
        with pytest.raises(RuntimeError) as error:
            model.load_state_dict(state)
        return str(error.value).replace("torch.Size", "Size")

    assert message(backlit) == message(torch)


def test_state_dicts_of_pytorch_load_and_give_the_same_outputs() -> None:
    """Through NumPy arrays, for a model of many layers in evaluation mode."""

    def make(lib: Any) -> Any:
        return lib.nn.Sequential(
            lib.nn.Linear(4, 8), lib.nn.BatchNorm1d(8), lib.nn.GELU(), lib.nn.Dropout(0.5),
            lib.nn.Linear(8, 6), lib.nn.LayerNorm(6), lib.nn.PReLU(6), lib.nn.LogSoftmax(-1),
        )  # fmt: skip

    theirs, ours = make(torch).eval(), make(backlit).eval()
    state = {k: backlit.tensor(t.numpy()) for k, t in theirs.state_dict().items()}
    ours.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    assert np.allclose(ours(backlit.tensor(x)).detach().numpy(), expected, atol=1e-5)


def test_hooks_fire_in_the_same_order_with_the_same_values() -> None:
    """Every kind of hook on an inner and an outer module, over forward and backward."""

    def log(lib: Any) -> list[Any]:
        seen: list[Any] = []

        class Twice(lib.nn.Module):  # type: ignore[misc]
            def forward(self, x: Any) -> Any:
                return x * 2

        inner, outer = Twice(), lib.nn.Sequential()
        outer.add_module("a", inner)
        outer.add_module("b", Twice())
        for name, m in (("inner", inner), ("outer", outer)):
            note = lambda what, name=name: seen.append((name, what))  # noqa: E731
            m.register_forward_pre_hook(lambda mod, args, note=note: note("pre"))
            m.register_forward_hook(lambda mod, args, out, note=note: note(("forward", out.item())))
            m.register_full_backward_pre_hook(
                lambda mod, go, note=note: note(("backward pre", go[0].item()))
            )
            m.register_full_backward_hook(
                lambda mod, gi, go, note=note: note(("backward", gi[0].item(), go[0].item()))
            )
        x = lib.tensor([1.0], requires_grad=True)
        (outer(x) * 3).backward()
        return seen

    assert log(backlit) == log(torch)


def test_clipping_equals_pytorch() -> None:
    """Norms and clipped gradients, for several p."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=s).astype(np.float32) for s in ((3, 4), (5,), ())]
    for p in (1.0, 2.0, 3.5, float("inf")):

        def run(lib: Any, p: float = p) -> tuple[float, list[Any]]:
            params = [lib.nn.Parameter(lib.zeros(g.shape)) for g in gradients]
            for param, g in zip(params, gradients, strict=True):
                param.grad = lib.tensor(g)
            norm = lib.nn.utils.clip_grad_norm_(params, 0.7, p)
            return norm.item(), [param.grad.numpy() for param in params]

        (ours, clipped), (theirs, expected) = run(backlit), run(torch)
        assert ours == pytest.approx(theirs, rel=1e-5)
        for a, b in zip(clipped, expected, strict=True):
            assert np.allclose(a, b, rtol=1e-5)


def test_warnings_of_legacy_loss_arguments_are_the_same() -> None:
    """size_average and reduce."""
    texts = []
    for lib in (backlit, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lib.nn.MSELoss(size_average=False, reduce=True)
        texts.append([str(w.message) for w in caught])
    assert texts[0] == texts[1]
