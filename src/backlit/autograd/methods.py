"""The tensor methods that differentiate."""

from __future__ import annotations

from typing import Any

from backlit.autograd import gradients, hooks
from backlit.core.methods import TensorMethods
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
    gradients.backward(self, gradient, retain_graph, create_graph, inputs)


for _name, _method in hooks.METHODS.items():
    setattr(TensorMethods, _name, _method)
setattr(TensorMethods, "backward", tensor_backward)  # noqa: B010 - bound as the ops are
