"""`backward` and `grad`: what is asked of a walk back, and where its gradients go."""

from __future__ import annotations

from typing import Any

from backlit.autograd.engine import Walk, accumulate
from backlit.autograd.stepwise import run_hooks
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
    for t, found in zip(wanted, _results(walk), strict=True):
        if found is not None:
            accumulate(t, found, create_graph)


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
    """The gradients of ``outputs`` by ``inputs`` (any tensors), without touching ``.grad``."""
    retain = create_graph if retain_graph is None else retain_graph
    wanted = _listed(inputs)
    for t in wanted:
        if not t.requires_grad:
            raise GradientError(
                "One of the differentiated Tensors does not require grad; set requires_grad on it."
            )
    if is_grads_batched:
        from backlit.autograd import derivative

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
