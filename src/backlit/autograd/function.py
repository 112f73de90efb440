"""User-defined differentiable functions: `Function`, with PyTorch's ``ctx``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from backlit.core.create import full_constant
from backlit.core.era import local
from backlit.core.inplace import rebind
from backlit.core.op import op
from backlit.core.primitive import primitive
from backlit.core.tensor import Tensor
from backlit.core.value import Node
from backlit.errors import GradientError
from backlit.ops.movement import sum_to

function_card = primitive(
    "function",
    "x*",
    shape=lambda *x, n: [(tuple(v.shape), v.dtype) for v in x[:n]],
    numpy=lambda node, fields: f"({', '.join(fields['rest'][: node.attrs['n']])},)",
    vjp=(lambda g: g,),
    maths="outputs of a user-defined function",
)


@op(name="_function", method=False)
def _attach(raw: list[Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """The outputs ``raw`` as functions of ``inputs``."""
    return tuple(local.era.emit(function_card, (*raw, *inputs), {"n": len(raw)}))


class Context:
    """What forward leaves for backward: ``save_for_backward``, ``needs_input_grad``, any
    attributes."""

    def __init__(self, function: type[Function], needs: tuple[bool, ...]) -> None:
        self.function = function
        self.needs_input_grad = needs
        self.materialize_grads = True
        self.non_differentiable: tuple[Tensor, ...] = ()
        self.dirty: tuple[Tensor, ...] = ()
        self.differentiable_once = False
        self._saved: list[Tensor | None] = []
        self._versions: list[int] = []
        self._positions: list[int] = []
        self._done = False

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward; changing them in place before backward is an error."""
        self._saved = list(tensors)
        self._versions = [_version(t) for t in tensors]

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Declare inputs that forward changes in place."""
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare outputs through which no gradient flows."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing upstream gradients arrive as zeros (the default) or as None."""
        self.materialize_grads = value

    def release(self) -> None:
        """Give up what was saved: after a backward pass that does not retain the graph."""
        self._done = True
        self._saved = []
        self._versions = []

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`."""
        if self._done:
            raise GradientError(
                "Trying to backward through the graph a second time, but the saved tensors have "
                "already been freed. "
                "Pass retain_graph=True to the first backward()."
            )
        for t, version in zip(self._saved, self._versions, strict=True):
            if _version(t) != version:
                raise GradientError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: "
                    f"a tensor that {self.function.__name__}.forward saved is at version "
                    f"{_version(t)}; expected "
                    f"version {version}. Save a clone() of it."
                )
        return tuple(self._saved)


def _version(t: Tensor | None) -> int:
    return t._x.version if t is not None and t._x is not None else 0


class Function:
    """A differentiable function of your own: static ``forward(ctx, …)`` and ``backward(ctx,
    grad)``.

    >>> import backlit
    >>> class Square(backlit.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = backlit.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; the first argument is ``ctx`` unless ``setup_context`` is
        defined."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Where forward takes no ``ctx``: save what backward needs."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient of each input of forward, given those of its outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with "
            "backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and note how to run backward."""
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(cls, needs)
        recording = local.era.here.grad and any(needs)
        mode = local.era.here.grad
        local.era.set_grad(False)
        try:
            if cls.setup_context is not Function.setup_context:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args, **kwargs)
        finally:
            local.era.set_grad(mode)
        return _with_history(ctx, args, out) if recording else out

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise GradientError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd "
            f"function with static forward method: {type(self).__name__}.apply(...)."
        )


def _with_history(ctx: Context, args: tuple[Any, ...], out: Any) -> Any:
    """The outputs of forward, connected to the inputs that need gradients."""
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    inputs = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
    ctx._positions = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    chosen = [
        i
        for i, o in enumerate(outs)
        if isinstance(o, Tensor)
        and o.dtype.is_floating_point
        and not any(o is n for n in ctx.non_differentiable)
    ]
    if not chosen:
        return out
    ctx.outputs = len(outs)  # type: ignore[attr-defined]
    ctx.chosen = chosen  # type: ignore[attr-defined]
    made = _attach([outs[i] for i in chosen], inputs)
    era = local.era
    first = made[0]
    if first._data is None:
        where: Any = (first._era, first._var)
    else:
        assert first._x is not None
        assert first._x.edge is not None
        where = first._x.edge
    if where[0].contexts is None:
        where[0].contexts = {}
    where[0].contexts[where[1].node.outs[0].id] = ctx
    for i, new in zip(chosen, made, strict=True):
        for k, saved in enumerate(ctx._saved):
            if saved is outs[i]:
                ctx._saved[k] = new
                ctx._versions[k] = 0
        if any(outs[i] is d for d in ctx.dirty):
            outs[i] = rebind(outs[i], new, ctx.function.__name__)
        else:
            outs[i] = new
    assert era is local.era or local.era is not None
    return type(out)(outs) if isinstance(out, (tuple, list)) else outs[0]


def apply_backward(ctx: Context, node: Node, outs: dict[int, Tensor]) -> list[tuple[int, Tensor]]:
    """Call the user's backward; gradients by position among the node's operands."""
    grads: list[Tensor | None] = [None] * ctx.outputs  # type: ignore[attr-defined]
    for k, i in enumerate(ctx.chosen):  # type: ignore[attr-defined]
        value = node.outs[k]
        grads[i] = outs.get(k)
        if grads[i] is None and ctx.materialize_grads:
            grads[i] = full_constant(value.shape, 0, value.dtype)
    found = ctx.function.backward(ctx, *grads)
    found = found if isinstance(found, tuple) else (found,)
    name = ctx.function.__name__
    if len(found) < len(ctx.needs_input_grad) or any(
        g is not None for g in found[len(ctx.needs_input_grad) :]
    ):
        raise GradientError(
            f"function {name} returned an incorrect number of gradients (expected "
            f"{len(ctx.needs_input_grad)}, got "
            f"{len(found)}): backward must return one per input of forward, None where there is "
            f"none."
        )
    n = node.attrs["n"]
    made: list[tuple[int, Tensor]] = []
    for k, position in enumerate(ctx._positions):
        g = found[position]
        if g is None:
            continue
        want = node.args[n + k]
        if not isinstance(g, Tensor):
            raise TypeError(
                f"function {name}.backward returned {type(g).__name__} where a Tensor or None is "
                f"expected."
            )
        if g.shape != want.shape:
            g = _summed(g, tuple(want.shape), name, position)
        made.append((n + k, g if g.dtype is want.dtype else g.to(want.dtype)))
    return made


def _summed(g: Tensor, shape: tuple[int, ...], name: str, position: int) -> Tensor:
    """``g`` summed over the dimensions along which ``shape`` was broadcast to it."""
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise GradientError(
            f"function {name} returned an invalid gradient at index {position} - got "
            f"{list(g.shape)} but expected shape compatible with {list(shape)}."
        )
    return sum_to(g, shape)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a ``backward`` whose result cannot be differentiated again."""

    @functools.wraps(backward)
    def call(ctx: Any, *grads: Any) -> Any:
        from backlit.autograd import no_grad

        with no_grad():
            return backward(ctx, *grads)

    return call


FunctionCtx = Context
