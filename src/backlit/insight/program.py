"""Programs from outside: which kernels one consists of, what each costs, and its code."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np

from backlit.compiler.tiers import Tiered
from backlit.core.era import Era, realize
from backlit.core.program import Program as Nodes
from backlit.core.tensor import Tensor
from backlit.core.value import Input, Scalar, Value
from backlit.errors import ArgumentError
from backlit.insight.kernels import Kernel, Kernels, kernel_of

_NOTHING = "; nothing is computed: the results are the inputs, read in another way\n"
_FEWEST_RUNS, _MOST_RUNS, _ENOUGH_S = 3, 30, 0.2


class Program:
    """A program that ran, or will: one recording, computed in one go.

    Attributes:
        number: its place in a profile; 0 outside of one.
    """

    def __init__(self, tiered: Tiered, plan: Any = None, number: int = 0) -> None:
        self.number = number
        self._tiered = tiered
        self._plan = plan
        self._failure = tiered.failure

    @property
    def tier(self) -> str:
        """ "hot" once it runs as native code, else "cold"."""
        return "cold" if self._tiered.plan is None else "hot"

    @property
    def source(self) -> str:
        """The flat NumPy source: what the cold tier runs."""
        return str(self._tiered.cold.source)

    @property
    def failure(self) -> str:
        """Why the program has no native form; empty if it has one."""
        self._native()
        return self._failure or ""

    @property
    def fallbacks(self) -> list[str]:
        """What runs as NumPy source though the program is native, and why."""
        return [reason for k in self.parts() for reason in k.reasons]

    def kernels(self) -> Kernels:
        """The kernels in the order in which they run, each with the time it takes.

        The times are medians of a few runs on made-up data (normal numbers, index 0), on this
        machine, now. `backlit.profile` has the times of real runs.

        >>> x = backlit.ones(64, 100)
        >>> kernels = backlit.program((x * x + 1).sum(1)).kernels()
        >>> [(k.name, k.bytes_read, k.bytes_written, k.flops) for k in kernels]
        [('mul add sum 64×100', 25604, 256, 19200)]
        """
        found = self.parts()
        times = self._measured(len(found))
        pairs = zip(found, times, strict=True)
        return Kernels(dataclasses.replace(k, seconds=t) for k, t in pairs)

    def ir(self) -> str:
        """The LLVM IR of all kernels, one after the other."""
        return "\n".join(k.ir() for k in self.parts()) or _NOTHING

    def asm(self) -> str:
        """The machine code of all kernels as assembly, one after the other."""
        return "\n".join(k.asm() for k in self.parts()) or _NOTHING

    def __repr__(self) -> str:
        n = len(self._tiered.program.nodes)
        return f"<program of {n} ops, {self.tier}>"

    # -- its parts ----------------------------------------------------------------------------

    def parts(self) -> list[Kernel]:
        """The kernels, without measuring."""
        plan = self._native()
        if plan is None:
            return [self.whole()]
        from backlit.native.anatomy import functions, parts

        return [
            kernel_of(
                p.nodes,
                p.kind,
                p.size,
                (p.bytes_read, p.bytes_written),
                p.reasons,
                lambda p=p: functions(plan, p),  # type: ignore[misc]
            )
            for p in parts(plan)
        ]

    def whole(self) -> Kernel:
        """The whole program as one piece of NumPy source."""
        program: Nodes = self._tiered.program
        read = sum(_bytes(v) for v in program.inputs() if isinstance(v, Input))
        written = sum(map(_bytes, program.outputs))
        size = f"({len(program.nodes)} ops)"
        reasons = (self._failure,) if self._failure else ()
        return kernel_of(program.nodes, "source", size, (read, written), reasons)

    def _native(self) -> Any:
        """The native form: one of its own, so that looking does not disturb what runs."""
        if self._plan is None and self._failure is None:
            tiered = Tiered.__new__(Tiered)
            tiered.program, tiered.cold = self._tiered.program, self._tiered.cold
            tiered.plan, tiered.failure, tiered.runs = None, None, 0
            tiered.compile()
            self._plan = getattr(tiered.plan, "plan", tiered.plan)
            self._failure = tiered.failure
        return self._plan

    # -- measuring ----------------------------------------------------------------------------

    def _measured(self, n: int) -> list[float]:
        """Seconds of each part; NaN if the program does not run on made-up data."""
        rows: list[list[float]] = []
        started = time.monotonic()
        enough = False
        while not enough:
            try:
                rows.append(self._spans())
            except Exception:  # noqa: BLE001 - made-up data may be outside of what an op takes
                return [math.nan] * n
            spent = time.monotonic() - started
            enough = len(rows) >= _FEWEST_RUNS and (len(rows) >= _MOST_RUNS or spent > _ENOUGH_S)
        return [float(t) for t in np.median(np.array(rows[1:]), axis=0)]

    def _spans(self) -> list[float]:
        """Seconds of each part in one run."""
        inputs, scalars = self._made_up()
        plan = self._native()
        if plan is None:
            start = time.perf_counter()
            self._tiered.cold(inputs, scalars)
            return [time.perf_counter() - start]
        from backlit.native.timing import Timed

        timed = Timed(plan)
        timed(plan, inputs, scalars)
        return [float(t) * 1e-9 for t in timed.spans[:, 1] - timed.spans[:, 0]]

    def _made_up(self) -> tuple[list[Any], list[Any]]:
        """Inputs and numbers of the right kinds."""
        program: Nodes = self._tiered.program
        rng = np.random.default_rng(0)
        inputs: list[Any] = [None] * program.n_inputs
        numbers: dict[int, Any] = {}
        for v in program.inputs():
            if isinstance(v, Input):
                made = rng.standard_normal(tuple(v.shape)) * 0.1
                is_float = v.dtype.is_floating_point
                inputs[v.index] = np.asarray(made if is_float else np.zeros_like(made)).astype(
                    v.dtype.numpy
                )
            elif isinstance(v, Scalar):
                numbers[v.index] = 0.5 if v.dtype.is_floating_point else 1
        return inputs, [numbers.get(i, 1) for i in range(max(numbers, default=-1) + 1)]


def _bytes(value: Value) -> int:
    return value.numel * value.dtype.itemsize


def program(*tensors: Tensor) -> Program:
    """The program that computed ``tensors``: its kernels, their costs, their code.

    It is the whole recording between two looks at values, a training step say: forward pass,
    backward pass and update, as far as they were computed together. A pending tensor is computed
    first.

    >>> x = backlit.ones(4, 8)
    >>> w = backlit.ones(8, 2, requires_grad=True)
    >>> loss = (x @ w).tanh().sum()
    >>> loss.backward()
    >>> [k.name for k in backlit.program(loss, w.grad).kernels()]
    ['matmul 4×8·8×2', 'tanh mul sub 4×2', 'matmul 8×4·4×2', 'sum 8']

    Raises:
        ArgumentError: if a tensor was given, not computed, or no one program computed them all.
    """
    if not tensors:
        raise ArgumentError("program(): give at least one tensor.")
    for t in tensors:
        realize(t)
    origins = [_origin(t) for t in tensors]
    era = origins[0][0]
    wanted = {value.id for _, value in origins}
    for found in (era.here.programs or {}).values():
        if all(e is era for e, _ in origins) and wanted <= {o.id for o in found.outputs}:
            return Program(found.runner)
    raise ArgumentError(
        "program(): the tensors were computed by different programs; ask for each one's program "
        "separately."
    )


def _origin(t: Tensor) -> tuple[Era, Value]:
    """The recording and the value that ``t`` was computed as."""
    edge = t._x.edge if t._x is not None else None
    if edge is not None:
        return edge
    if t._era is None or t._var.id < 0 or isinstance(t._var, Input):
        raise ArgumentError(
            f"program(): the tensor of shape {tuple(t.shape)} holds data that was given, or has "
            "been used since; ask for a fresh result, or use backlit.profile()."
        )
    return t._era, t._var
