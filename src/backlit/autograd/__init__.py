"""Automatic differentiation: backward, grad, gradient modes, and derivatives of functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backlit.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from backlit.core.registry import imported_late

if TYPE_CHECKING:
    from backlit.autograd import functional
    from backlit.autograd.engine import locate
    from backlit.autograd.function import Function, FunctionCtx, once_differentiable
    from backlit.autograd.gradients import backward, grad
    from backlit.autograd.numerical import gradcheck, gradgradcheck

__getattr__ = imported_late(
    __name__,
    {
        "Function": "backlit.autograd.function",
        "FunctionCtx": "backlit.autograd.function",
        "backward": "backlit.autograd.gradients",
        "functional": "backlit.autograd.functional",
        "grad": "backlit.autograd.gradients",
        "gradcheck": "backlit.autograd.numerical",
        "gradgradcheck": "backlit.autograd.numerical",
        "locate": "backlit.autograd.engine",
        "once_differentiable": "backlit.autograd.function",
    },
)

__all__ = [
    "Function",
    "FunctionCtx",
    "backward",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "locate",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]


def __dir__() -> list[str]:
    return __all__
