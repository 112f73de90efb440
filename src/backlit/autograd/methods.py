"""The tensor method that differentiates."""

from __future__ import annotations

from typing import Any

from backlit.autograd import gradients
from backlit.autograd.engine import repeat
from backlit.core.registry import METHODS
from backlit.core.tensor import Tensor


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add d(self)/d(leaf), times ``gradient``, to the ``.grad`` of every leaf it was computed
    from."""
    if gradient is None and inputs is None:
        retain = create_graph if retain_graph is None else retain_graph
        if repeat(self, retain, create_graph):
            return
    gradients.backward(self, gradient, retain_graph, create_graph, inputs)


METHODS["backward"] = tensor_backward
