"""Automatic differentiation: backward, grad, and gradient modes."""

from __future__ import annotations

from typing import Any

from backlit.autograd import methods as _methods  # noqa: F401 - binds Tensor.backward
from backlit.autograd.engine import Walk, accumulate, locate
from backlit.autograd.function import Function, FunctionCtx, once_differentiable
from backlit.autograd.stepwise import run_hooks
from backlit.core.era import local
from backlit.core.tensor import Tensor
from backlit.errors import GradientError


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (tuple, list)) else [x]


def _roots(tensors: Any, gradients: Any) -> list[tuple[Tensor, Tensor | None]]:
    ts = _listed(tensors)
    gs = _listed(gradients) if gradients is not None else [None] * len(ts)
    for t, g in zip(ts, gs, strict=True):
        if not t.requires_grad:
            raise GradientError(
                "element 0 of tensors does not require grad and does not have a grad_fn: nothing "
                "that it was computed "
                "from has requires_grad=True; set it on a leaf, or check for detach() and "
                "no_grad()."
            )
        if g is not None and g.shape != t.shape:
            raise GradientError(
                f"Mismatch in shape: the gradient has shape {tuple(g.shape)} and the tensor "
                f"{tuple(t.shape)}; they "
                "must be equal."
            )
    return list(zip(ts, gs, strict=True))


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add d(tensors)/d(leaf) to the ``.grad`` of every leaf (or of ``inputs`` only)."""
    retain = create_graph if retain_graph is None else retain_graph
    wanted = _listed(inputs) if inputs is not None else None
    walk = Walk(_roots(tensors, grad_tensors), wanted, retain, create_graph)
    walk.run()
    if wanted is None:
        for leaf, g in walk.leaf_gradients.values():
            x = leaf._x
            if x is not None and x.hooks:
                g = run_hooks(leaf, g)
            accumulate(leaf, g, create_graph)
            if x is not None and x.post_hooks:
                for hook in list(x.post_hooks.values()):
                    hook(leaf)
        return
    for t, g in zip(wanted, _results(walk), strict=True):
        if g is not None:
            accumulate(t, g, create_graph)


def _results(walk: Walk) -> list[Tensor | None]:
    """The gradient of each wanted tensor, in order."""
    found: list[Tensor | None] = []
    for where in walk.targets:
        if isinstance(where, Tensor):
            hit = walk.leaf_gradients.get(id(where))
            if hit is None:
                found.append(None)
            else:
                found.append(
                    run_hooks(where, hit[1]) if where._x is not None and where._x.hooks else hit[1]
                )
        else:
            found.append(walk.found.get((where[0].sequence, where[1].id)))
    return found


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs`` (any tensors), without touching ``.grad``."""
    retain = create_graph if retain_graph is None else retain_graph
    wanted = _listed(inputs)
    for t in wanted:
        if not t.requires_grad:
            raise GradientError(
                "One of the differentiated Tensors does not require grad; set requires_grad on it."
            )
    if is_grads_batched:
        found = derivative.batched_gradient(
            _listed(outputs), wanted, _listed(grad_outputs), create_graph
        )
    else:
        walk = Walk(_roots(outputs, grad_outputs), wanted, retain, create_graph)
        walk.run()
        found = _results(walk)
    if materialize_grads:
        from backlit.core.create import full_constant

        return tuple(
            full_constant(t.shape, 0, t.dtype) if g is None else g
            for t, g in zip(wanted, found, strict=True)
        )
    if not allow_unused and any(g is None for g in found):
        raise GradientError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if "
            "this is the desired behavior."
        )
    return tuple(found)


class set_grad_enabled:  # noqa: N801 - PyTorch's name
    """Switch the recording of gradients on or off; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        self.previous = local.era.here.grad
        self.mode = mode
        local.era.set_grad(mode)

    def __enter__(self) -> None:
        local.era.set_grad(self.mode)

    def __exit__(self, *exc: object) -> None:
        local.era.set_grad(self.previous)


class _Mode:
    """A gradient mode as context manager and decorator."""

    mode = False

    def __init__(self, function: Any = None) -> None:
        self._previous: list[bool] = []
        self._function = function

    def __enter__(self) -> None:
        self._previous.append(local.era.here.grad)
        local.era.set_grad(self.mode)

    def __exit__(self, *exc: object) -> None:
        if local.era.leaves:  # parameters were rewritten: the end of a training step
            local.era.flush()
        local.era.set_grad(self._previous.pop())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import functools

        if self._function is not None:
            with type(self)():
                return self._function(*args, **kwargs)
        (function,) = args
        kind = type(self)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with kind():
                return function(*args, **kwargs)

        return call


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Results computed inside do not require gradients."""


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Gradients are recorded inside, also within `no_grad`."""

    mode = True


class inference_mode(_Mode):  # noqa: N801 - PyTorch's name
    """`no_grad` for code that will never need gradients of what it computes."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(None if isinstance(mode, bool) else mode)
        self.mode = isinstance(mode, bool) and not mode

    def __enter__(self) -> None:
        super().__enter__()
        local.inference += 0 if self.mode else 1

    def __exit__(self, *exc: Any) -> None:
        local.inference -= 0 if self.mode else 1
        super().__exit__(*exc)


def is_inference_mode_enabled() -> bool:
    """Whether an `inference_mode` block is being run."""
    return local.inference > 0


def is_grad_enabled() -> bool:
    """Whether gradients are being recorded."""
    return bool(local.era.here.grad)


# These are built on what is defined above.
from backlit.autograd import derivative, functional  # noqa: E402
from backlit.autograd.gradcheck import gradcheck, gradgradcheck  # noqa: E402

__all__ = [
    "Function",
    "FunctionCtx",
    "functional",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "once_differentiable",
    "backward",
    "enable_grad",
    "grad",
    "is_grad_enabled", "is_inference_mode_enabled",
    "locate",
    "no_grad",
    "set_grad_enabled",
]
