"""vmap: a function of one example, run on a batch.

The function is traced once, on tensors that stand for a single example. What it recorded is then
replayed on all examples together (`backlit.autograd.batching`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from backlit.autograd import batching, tree
from backlit.autograd.batching import Lane
from backlit.core.era import local, settle
from backlit.core.position import Position
from backlit.core.primitive import Primitive
from backlit.core.program import alive_nodes
from backlit.core.tensor import Tensor, handle
from backlit.core.trace import Tracer, module_scopes
from backlit.core.value import Input, Value, meta_of
from backlit.errors import ArgumentError, BacklitError, GradientError, ShapeError

RANDOMNESS = ("error", "different", "same")


def belongs(t: Tensor, recording: Any) -> bool:
    """Whether ``t`` is a value of ``recording``."""
    return t._era is recording


class ExampleTracer(Tracer):
    """Stands in for the era while a function runs on one example of a batch.

    Attributes:
        known: value id → lane, for the examples and for tensors that the function closes over.
        randomness: what random ops do (see `vmap`).
    """

    def __init__(self, randomness: str) -> None:
        self.outer = local.era
        super().__init__(Position(None, None, self.outer.here.grad), module_scopes(), local.phase)
        self.known: dict[int, Lane] = {}
        self.leaves: dict[int, Tensor] = {}  # as an era has them; the sweep asks for values instead
        self.randomness = randomness
        self._captured: list[tuple[Tensor, Any, Value]] = []

    def example(self, batch: Tensor) -> Tensor:
        """One example of ``batch``, whose first dimension counts the examples."""
        value = self._input(batch._var, tuple(batch.shape[1:]))
        self.known[value.id] = Lane(batch, batched=True)
        return handle(self, value)  # type: ignore[arg-type]

    def _input(self, like: Value, shape: tuple[int, ...]) -> Input:
        return Input(self.number(), meta_of(shape, like.dtype, like.requires_grad), 0)

    def enter(self, t: Tensor) -> None:
        """A tensor that the function closes over is the same for every example."""
        if t._data is None and t._era is None:
            local.era = self.outer
            try:
                settle(t)
            finally:
                self.outer = local.era
                local.era = self
        value = self._input(t._var, tuple(t.shape))
        self._captured.append((t, t._era, t._var))
        self.known[value.id] = Lane(t, batched=False)
        t._era, t._var = self, value  # type: ignore[assignment]

    def emit(self, primitive: Primitive, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Add a node; its operands may come from outside."""
        for a in args:
            if isinstance(a, Tensor) and not belongs(a, self):
                self.enter(a)
        return super().emit(primitive, args, attrs)

    def release(self) -> None:
        """Give the tensors that entered back to the recording they came from."""
        for t, era, value in reversed(self._captured):
            t._era, t._var = era, value
        self._captured = []

    def flush(self) -> None:
        """There is nothing to compute: the examples are all different."""
        raise BacklitError(
            "vmap: the function looks at the value of a per-example tensor (print, .item(), "
            ".numpy(), if, "
            "or an op whose result shape depends on data), but that differs from example to "
            "example. "
            "Use backlit.where(condition, a, b) instead of if, and look at values outside of vmap."
        )


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``func`` of one example as a function of a batch.

    Args:
        func: takes and returns tensors (or nested tuples, lists and dicts of them).
        in_dims: per argument, the dimension that counts the examples; None: the same for all of
            them.
        out_dims: where that dimension goes in each result.
        randomness: "error" refuses random ops; "different" draws anew for each example; "same"
            draws once.
        chunk_size: how many examples to run at a time; None: all.

    Raises:
        ArgumentError: if the arguments do not fit ``in_dims``, or a result is not a tensor.

    >>> import backlit
    >>> x = backlit.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> vmap(lambda row: (row * row).sum())(x)
    tensor([ 5., 25.])
    """
    if randomness not in RANDOMNESS:
        raise ArgumentError(f"vmap: randomness must be one of {RANDOMNESS}, got {randomness!r}.")
    if chunk_size is not None and chunk_size <= 0:
        raise ArgumentError(f"vmap: chunk_size must be None or more than 0, got {chunk_size}.")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten(args)
        dims = tree.spread(
            in_dims if not isinstance(in_dims, list) else tuple(in_dims), args, "in_dims"
        )
        named, named_structure = tree.flatten(kwargs)
        dims += [0 if isinstance(v, Tensor) else None for v in named]
        batches = [_in_front(x, d) for x, d in zip(leaves + named, dims, strict=True)]
        size = _batch_size(batches, dims)

        def run(parts: list[Any], n: int) -> tuple[list[Tensor], Any]:
            def call(examples: list[Any]) -> Any:
                positional = tree.unflatten(structure, examples[: len(leaves)])
                return func(*positional, **tree.unflatten(named_structure, examples[len(leaves) :]))

            return _run(call, parts, dims, n, randomness)

        if chunk_size is None or size <= chunk_size:
            found, shape = run(batches, size)
        else:
            found, shape = _in_chunks(run, batches, dims, size, chunk_size)
        where = tree.spread(out_dims, tree.unflatten(shape, found), "out_dims")
        return tree.unflatten(shape, [_to_place(x, d) for x, d in zip(found, where, strict=True)])

    return mapped


def _in_front(x: Any, dim: Any) -> Any:
    """``x`` with its batch dimension moved to the front."""
    if dim is None:
        return x
    if not isinstance(dim, int) or not isinstance(x, Tensor):
        raise ArgumentError(
            f"vmap: in_dims says {dim!r} for an argument of type {type(x).__name__}; expected an "
            f"integer for a "
            "tensor, and None for everything else."
        )
    rank = x._var.ndim
    if not -rank <= dim < rank:
        raise ArgumentError(
            f"vmap: in_dims says {dim} for a tensor of shape {tuple(x.shape)}; expected a "
            f"dimension in "
            f"[{-rank}, {rank - 1}]."
        )
    return batching.move_dim(x, dim % rank, 0)


def _batch_size(batches: list[Any], dims: list[Any]) -> int:
    sizes = [int(x.shape[0]) for x, d in zip(batches, dims, strict=True) if d is not None]
    if not sizes:
        raise ArgumentError(
            "vmap: no argument has a dimension to map over; give in_dims an integer for at least "
            "one tensor."
        )
    if len(set(sizes)) > 1:
        raise ShapeError(
            f"vmap: expected the mapped dimensions to have the same size, got sizes {sizes} for "
            f"the mapped inputs."
        )
    return sizes[0]


def _run(
    call: Callable[[list[Any]], Any],
    batches: list[Any],
    dims: list[Any],
    size: int,
    randomness: str,
) -> tuple[list[Tensor], Any]:
    """Trace ``call`` on one example and replay it on all: the results and their structure."""
    tracer = ExampleTracer(randomness)
    examples = [x if d is None else tracer.example(x) for x, d in zip(batches, dims, strict=True)]
    local.era = tracer
    try:
        leaves, structure = tree.flatten(call(examples))
        values = []
        for x in leaves:
            if not isinstance(x, Tensor):
                raise ArgumentError(
                    "vmap: the function must return tensors only, got a value of type "
                    f"{type(x).__name__}."
                )
            if not belongs(x, tracer):
                tracer.enter(x)
            values.append(x._var)
    finally:
        local.era = tracer.outer
        tracer.release()
    batching.replay(alive_nodes(tracer.nodes, tuple(values)), tracer.known, size, _unknown)
    return [batching.filled(tracer.known[v.id], size) for v in values], structure


def _unknown(value: Value) -> Any:
    raise GradientError(
        f"vmap: {value!r} belongs to another vmap that has already ended; return it instead of "
        f"keeping it."
    )


def _in_chunks(
    run: Callable[[list[Any], int], tuple[list[Tensor], Any]],
    batches: list[Any],
    dims: list[Any],
    size: int,
    chunk_size: int,
) -> tuple[list[Tensor], Any]:
    """Run at most ``chunk_size`` examples at a time, and put the results together."""
    rows: list[list[Tensor]] = []
    structure: Any = None
    for start in range(0, size, chunk_size):
        n = min(chunk_size, size - start)
        parts = [
            x if d is None else batching.part(x, start, n)
            for x, d in zip(batches, dims, strict=True)
        ]
        found, structure = run(parts, n)
        rows.append(found)
    return [batching.join(list(column)) for column in zip(*rows, strict=True)], structure


def _to_place(x: Tensor, dim: Any) -> Tensor:
    """``x`` with its batch dimension moved from the front to ``dim``."""
    rank = x._var.ndim
    if not isinstance(dim, int) or not -rank <= dim < rank:
        raise ArgumentError(
            f"vmap: out_dims says {dim!r} for a result with {rank} dimensions (the mapped one "
            f"included); "
            f"expected an integer in [{-rank}, {rank - 1}]."
        )
    return batching.move_dim(x, 0, dim % rank)
