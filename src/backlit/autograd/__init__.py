"""Automatic differentiation: backward, grad, gradient modes, and derivatives of functions."""

from __future__ import annotations

from backlit.autograd import functional
from backlit.autograd import methods as _methods  # noqa: F401 - binds Tensor.backward
from backlit.autograd.engine import locate
from backlit.autograd.function import Function, FunctionCtx, once_differentiable
from backlit.autograd.gradcheck import gradcheck, gradgradcheck
from backlit.autograd.gradients import backward, grad
from backlit.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
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
