"""The native programs that a test's tensors ran through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backlit
from backlit import config
from backlit.core.position import trie
from backlit.native.plan import Plan
from backlit.native.steps import ColumnReduction, Kernel, Loop, Product, Source, Step


def plans() -> list[Plan]:
    """Every native program since the flags last changed."""
    found: list[Plan] = []
    stack = list(trie.roots.values())
    while stack:
        position = stack.pop()
        stack += position.children.values()
        for program in (position.programs or {}).values():
            if program.runner.plan is not None:
                found.append(program.runner.plan)
    return found


def hot(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of ``function`` computed natively from its first run on."""
    with config.flags(tier="hot"):
        return _computed(function, arguments)


def cold(function: Callable[..., Any], *arguments: Any) -> Any:
    """The results of ``function`` computed by NumPy source."""
    with config.flags(tier="cold"):
        return _computed(function, arguments)


def _computed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    backlit.flush()
    found = function(*arguments)
    backlit.flush()
    return found


def largest_plan(function: Callable[..., Any], *arguments: Any) -> Plan:
    """The plan with the most steps that a native run of ``function`` makes."""
    with config.flags(tier="hot"):
        _computed(function, arguments)
        return max(plans(), key=lambda plan: len(plan.program.nodes))


def described(step: Step) -> str:
    """A step in a word or two: what kind, and the primitives in a kernel, in what a product ends
    in, or in NumPy source."""
    if isinstance(step, (Kernel, Source)):
        return " ".join((type(step).__name__.lower(), *(n.primitive.name for n in step.nodes)))
    if isinstance(step, Product):
        return " ".join(("product", *(n.primitive.name for n in step.nodes[1:])))
    if isinstance(step, ColumnReduction):
        return f"columns {step.name}"
    return step.entry if isinstance(step, Loop) else type(step).__name__.lower()


def steps(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """The steps of the largest program that a native run of ``function`` makes."""
    return [described(step) for step in largest_plan(function, *arguments).steps]
