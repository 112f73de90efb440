"""Function transforms: PyTorch's ``torch.func``.

A transform takes a Python function of tensors and returns another one: its gradient, its Jacobian,
or the same function of a whole batch. Transforms nest: ``vmap(grad(loss))`` gives per-sample
gradients.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from backlit.autograd import enable_grad, tree
from backlit.autograd.derivative import alias, gradient, push_forward, zeros_like
from backlit.autograd.functional import ones_like, table_of_blocks
from backlit.autograd.vmap import vmap
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError


class _Depth(threading.local):
    """How many transforms surround the code that is running."""

    def __init__(self) -> None:
        self.transforms = 0


_depth = _Depth()


class _Point:
    """The arguments at which a function is differentiated, and its outputs there.

    Attributes:
        inputs: the tensors to differentiate by, fresh ones.
        outputs: what the function returned for them, flat; ``structure`` is how it was nested.
        aux: what it returned beside, with ``has_aux``.
        create: whether derivatives can be differentiated further.
    """

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        args: Sequence[Any],
        argnums: Any,
        has_aux: bool,
        kwargs: Any,
    ) -> None:
        self.name = name
        chosen = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
        for n in chosen:
            if not isinstance(n, int) or not -len(args) <= n < len(args):
                raise ArgumentError(
                    f"{name}: argnums={argnums} does not name one of the {len(args)} positional "
                    f"arguments."
                )
        chosen = [n % len(args) for n in chosen]
        given, self.input_structure = tree.flatten(
            tuple(args[n] for n in chosen)
            if isinstance(argnums, (tuple, list))
            else args[chosen[0]]
        )
        self.create = _depth.transforms > 0 or any(
            x.requires_grad for x in tree.flatten((args, kwargs))[0] if isinstance(x, Tensor)
        )
        with _inside():
            self.inputs = [self._fresh(x) for x in given]
            fresh = iter(_split(self.inputs, [len(tree.flatten(args[n])[0]) for n in chosen]))
            called = list(args)
            for n in chosen:
                called[n] = tree.unflatten(tree.flatten(args[n])[1], next(fresh))
            returned = func(*called, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise ArgumentError(
                    f"{name}: with has_aux=True the function must return (output, aux)."
                )
            returned, self.aux = returned
        self.outputs, self.structure = tree.flatten(returned)
        for y in self.outputs:
            if not isinstance(y, Tensor):
                raise ArgumentError(
                    f"{name}: the function must return tensors, got a value of type "
                    f"{type(y).__name__}; use "
                    "has_aux=True to return other things beside."
                )

    def _fresh(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.name}: cannot differentiate by a value of type {type(x).__name__}; pass a "
                f"tensor, or choose "
                "other argnums."
            )
        return alias(x)

    def finish(self, leaves: Sequence[Tensor], structure: Any) -> Any:
        """``leaves`` in their structure, without history unless something outside needs it."""
        done = [t if self.create else t.detach() for t in leaves]
        return tree.unflatten(structure, done)

    def value(self) -> Any:
        """What the function returned."""
        return self.finish(self.outputs, self.structure)

    def pull_back(self, cotangents: Sequence[Tensor], create: bool) -> Any:
        """Vector–Jacobian product, in the structure of the inputs."""
        with enable_grad():
            found = gradient(self.outputs, self.inputs, cotangents, create)
        filled = [
            zeros_like(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)
        ]
        return self.finish(filled, self.input_structure)


@contextlib.contextmanager
def _inside() -> Iterator[None]:
    """Gradients are recorded, and nested transforms know that they are nested."""
    _depth.transforms += 1
    try:
        with enable_grad():
            yield
    finally:
        _depth.transforms -= 1


def _split(leaves: list[Tensor], counts: list[int]) -> Iterator[list[Tensor]]:
    start = 0
    for n in counts:
        yield leaves[start : start + n]
        start += n


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (gradient, value) of ``func``, or (gradient, (value, aux)).

    >>> import backlit
    >>> grad_and_value(lambda x: x * x)(backlit.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        point = _Point("grad", func, args, argnums, has_aux, kwargs)
        if len(point.outputs) != 1 or point.outputs[0]._var.ndim:
            shapes = [tuple(y.shape) for y in point.outputs]
            raise ArgumentError(
                "grad: the function must return one tensor without dimensions, got shapes "
                f"{shapes}; reduce it with "
                ".sum() or .mean(), or use jacrev."
            )
        slope = point.pull_back([ones_like(point.outputs[0])], point.create)
        return slope, (point.value(), point.aux) if has_aux else point.value()

    return differentiated


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of ``func``, which must return a number.

    Args:
        func: takes tensors (or nested tuples, lists and dicts of them) and returns a 0-d tensor.
        argnums: which positional argument(s) to differentiate by.
        has_aux: whether ``func`` returns (value, aux); then the result is (gradient, aux).

    >>> import backlit
    >>> grad(lambda x: x * x * x)(backlit.tensor(2.0))
    tensor(12.)
    >>> grad(grad(lambda x: x * x * x))(backlit.tensor(2.0))
    tensor(12.)
    >>> vmap(grad(lambda x: x * x * x))(backlit.tensor([1.0, 2.0]))
    tensor([ 3., 12.])
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        slope, value = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return differentiated


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``func(*primals)``, and the function v ↦ vᵀJ (a tuple with an entry per primal, or its only
    entry).

    >>> import backlit
    >>> value, pull_back = vjp(lambda x: x * x, backlit.tensor([1.0, 2.0]))
    >>> pull_back(backlit.tensor([1.0, 1.0]))
    (tensor([2., 4.]),)
    """
    point = _Point("vjp", func, primals, tuple(range(len(primals))), has_aux, {})

    def pull_back(
        cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None
    ) -> Any:
        leaves, structure = tree.flatten(cotangents)
        if [tuple(v.shape) for v in leaves] != [tuple(y.shape) for y in point.outputs]:
            raise ArgumentError(
                f"vjp: the vector has the structure {structure!r} and shapes "
                f"{[tuple(v.shape) for v in leaves]}, but "
                f"the outputs have {point.structure!r} and "
                f"{[tuple(y.shape) for y in point.outputs]}."
            )
        return point.pull_back(leaves, point.create if create_graph is None else create_graph)

    return (point.value(), pull_back, point.aux) if has_aux else (point.value(), pull_back)


def jvp(
    func: Callable[..., Any],
    primals: Any,
    tangents: Any,
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """``func(*primals)``, and its derivative in the direction of ``tangents``.

    >>> import backlit
    >>> jvp(lambda x: x * x, (backlit.tensor(3.0),), (backlit.tensor(1.0),))
    (tensor(9.), tensor(6.))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise TypeError(
            "jvp: primals and tangents must be tuples with one entry per argument of the function."
        )
    point = _Point("jvp", func, primals, tuple(range(len(primals))), has_aux, {})
    directions, _ = tree.flatten(tangents)
    if [tuple(t.shape) for t in directions] != [tuple(x.shape) for x in point.inputs]:
        raise ArgumentError(
            f"jvp: tangents have shapes {[tuple(t.shape) for t in directions]}, but the primals "
            f"have "
            f"{[tuple(x.shape) for x in point.inputs]}; they must be equal."
        )
    with _inside():
        found = push_forward(point.outputs, point.inputs, directions, point.create)
    if strict and any(t is None for t in found):
        raise ArgumentError(
            "jvp: an output does not depend on the primals, which strict=True refuses."
        )
    filled = [zeros_like(y) if t is None else t for t, y in zip(found, point.outputs, strict=True)]
    slope = point.finish(filled, point.structure)
    return (point.value(), slope, point.aux) if has_aux else (point.value(), slope)


def jacrev(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of ``func`` as a function: one backward pass for all outputs together.

    >>> import backlit
    >>> jacrev(lambda x: x * x)(backlit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    return _jacobian("jacrev", func, argnums, has_aux, forward=False)


def jacfwd(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """The Jacobian of ``func`` as a function, computed by columns (one per input element).

    >>> import backlit
    >>> jacfwd(lambda x: x * x)(backlit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    return _jacobian("jacfwd", func, argnums, has_aux, forward=True)


def _jacobian(
    name: str, func: Callable[..., Any], argnums: Any, has_aux: bool, forward: bool
) -> Callable[..., Any]:
    @functools.wraps(func)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        point = _Point(name, func, args, argnums, has_aux, kwargs)
        with _inside():
            table = table_of_blocks(point.inputs, point.outputs, point.create, forward=forward)
        rows = [point.finish(row, point.input_structure) for row in table]
        found = tree.unflatten(point.structure, rows)
        return (found, point.aux) if has_aux else found

    return differentiated


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The second derivatives of ``func`` as a function.

    >>> import backlit
    >>> hessian(lambda x: (x * x * x).sum())(backlit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call ``module`` with other tensors in place of its parameters and buffers.

    Args:
        module: an `nn.Module`; it is as before when the call returns.
        parameter_and_buffer_dicts: full name → tensor, in one dict or several.
        args, kwargs: what the module is called with; ``args`` may be a single tensor.
        tie_weights: whether a tensor held under several names is replaced under all of them.
        strict: whether every parameter and buffer must be given.

    Raises:
        KeyError: if a name is not one of the module's, or with ``strict`` if one is missing.

    >>> import backlit
    >>> layer = backlit.nn.Linear(2, 1)
    >>> other = {"weight": backlit.ones(1, 2), "bias": backlit.zeros(1)}
    >>> functional_call(layer, other, backlit.tensor([[3.0, 4.0]]))
    tensor([[7.]])
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Tensor] = {}
    for part in [dicts] if isinstance(dicts, dict) else dicts:
        given.update(part)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    unknown = sorted(given.keys() - own.keys())
    missing = sorted(own.keys() - given.keys()) if strict else []
    if unknown or missing:
        raise KeyError(
            f"functional_call: unexpected names {unknown}, missing names {missing}; the module has "
            f"{sorted(own)}."
        )
    if tie_weights:
        by_tensor = {id(own[name]): t for name, t in given.items()}
        given = {name: by_tensor[id(t)] for name, t in own.items() if id(t) in by_tensor}
    places = []
    for name, t in given.items():
        path, _, attribute = name.rpartition(".")
        places.append((vars(module.get_submodule(path)), attribute, own[name], t))
    try:
        for held, attribute, _, t in places:
            held[attribute] = t
        positional = args if isinstance(args, tuple) else () if args is None else (args,)
        return module(*positional, **(kwargs or {}))
    finally:
        for held, attribute, old, _ in places:
            held[attribute] = old


__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "vjp",
    "vmap",
]
