"""Gradient modes: whether what is computed is recorded for differentiation."""

from __future__ import annotations

from typing import Any

from backlit.core.era import Era, local


class set_grad_enabled:  # noqa: N801 - PyTorch's name
    """Switch the recording of gradients on or off; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        self.previous = local.era.here.grad
        self.mode = mode
        local.era.set_grad(mode)

    def __enter__(self) -> None:
        local.era.set_grad(self.mode)

    def __exit__(self, *exc: object) -> None:
        local.era.set_grad(self.previous)


class _Mode:
    """A gradient mode as context manager and decorator."""

    mode = False

    def __init__(self, function: Any = None) -> None:
        self._previous: list[bool] = []
        self._function = function

    def __enter__(self) -> None:
        self._previous.append(local.era.here.grad)
        local.era.set_grad(self.mode)

    def __exit__(self, *exc: object) -> None:
        era = local.era
        try:
            if not self.mode and isinstance(era, Era) and era.leaves:
                era.flush()  # parameters were rewritten: the end of a training step
        finally:
            local.era.set_grad(self._previous.pop())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import functools

        if self._function is not None:
            with type(self)():
                return self._function(*args, **kwargs)
        (function,) = args
        kind = type(self)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with kind():
                return function(*args, **kwargs)

        return call


class no_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Results computed inside do not require gradients."""


class enable_grad(_Mode):  # noqa: N801 - PyTorch's name
    """Gradients are recorded inside, also within `no_grad`."""

    mode = True


class inference_mode(_Mode):  # noqa: N801 - PyTorch's name
    """`no_grad` for code that will never need gradients of what it computes."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(None if isinstance(mode, bool) else mode)
        self.mode = isinstance(mode, bool) and not mode

    def __enter__(self) -> None:
        super().__enter__()
        local.inference += 0 if self.mode else 1

    def __exit__(self, *exc: object) -> None:
        local.inference -= 0 if self.mode else 1
        super().__exit__(*exc)


def is_inference_mode_enabled() -> bool:
    """Whether an `inference_mode` block is being run."""
    return local.inference > 0


def is_grad_enabled() -> bool:
    """Whether gradients are being recorded."""
    return bool(local.era.here.grad)
