"""Backward hooks of modules: told the gradients of a call's outputs and inputs, all at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backlit.autograd.function import Function
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError

if TYPE_CHECKING:
    from backlit.nn.module import Module

Hook = Callable[..., Any]


class _Gate(Function):
    """The identity on several tensors; backward gives all gradients to ``on_gradients`` at once."""

    @staticmethod
    def forward(ctx: Any, on_gradients: Any, *tensors: Tensor) -> Any:
        ctx.on_gradients = on_gradients
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return (None, *ctx.on_gradients(grads))


class BackwardHooks:
    """The backward hooks of one call, fired when the gradients at its ends are known."""

    def __init__(self, module: Module, pre: list[Hook], full: list[Hook]) -> None:
        self.module = module
        self.pre = pre
        self.full = full
        self.grad_output: tuple[Any, ...] | None = None
        self.has_input = False
        self.n_inputs = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args`` with the tensors passed through a gate."""
        self.n_inputs = len(args)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        if not any(args[i].requires_grad for i in places):
            return args
        self.has_input = True
        gated: tuple[Any, ...] = self._gated(args, places, self._on_input_gradients)
        return gated

    def watch_outputs(self, result: Any) -> Any:
        """``result`` with its tensors passed through a gate."""
        outputs = result if isinstance(result, tuple) else (result,)
        places = [i for i, o in enumerate(outputs) if isinstance(o, Tensor)]
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=5,
            )
        if not any(outputs[i].requires_grad for i in places):
            return result
        gated = self._gated(outputs, places, self._on_output_gradients)
        return gated if isinstance(result, tuple) else gated[0]

    def _gated(self, values: tuple[Any, ...], places: list[int], on_gradients: Any) -> Any:
        def all_gradients(grads: tuple[Any, ...]) -> tuple[Any, ...]:
            full: list[Any] = [None] * len(values)
            for i, g in zip(places, grads, strict=True):
                full[i] = g
            found = on_gradients(tuple(full))
            return tuple(found[i] for i in places)

        new = list(values)
        gated = _Gate.apply(all_gradients, *(values[i] for i in places))
        for i, t in zip(places, gated, strict=True):
            new[i] = t
        return tuple(new)

    def _on_output_gradients(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.pre:
            found = hook(self.module, grads)
            if found is not None:
                grads = self._checked("backward pre hook", "grad_output", found, grads)
        self.grad_output = grads
        if not self.has_input:  # no gradient will arrive at the inputs: this is the last chance
            self._fire((None,) * self.n_inputs)
        return grads

    def _on_input_gradients(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._fire(grads)

    def _fire(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.full:
            found = hook(self.module, grads, self.grad_output)
            if found is not None:
                if not self.has_input:
                    raise ArgumentError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
                grads = self._checked("Backward hook", "grad_input", found, grads)
        self.grad_output = None
        return grads

    def _checked(self, what: str, of: str, found: Any, was: tuple[Any, ...]) -> tuple[Any, ...]:
        new = found if isinstance(found, tuple) else (found,)
        if len(new) != len(was):
            raise ArgumentError(
                f"{what} returned an invalid number of {of}, got {len(new)}, but expected "
                f"{len(was)}."
            )
        return new


__all__ = ["BackwardHooks"]
