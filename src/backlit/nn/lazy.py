"""Lazy modules: their parameters get shapes from the first input."""

from __future__ import annotations

from typing import Any

from backlit.autograd import no_grad
from backlit.nn.module import Module
from backlit.nn.parameter import is_lazy


class LazyModuleMixin(Module):
    """A module that is told its input size by its first input, and then becomes ``cls_to_become``.

    A subclass derives from this class and the module it becomes, creates `UninitializedParameter`s,
    and materializes them in ``initialize_parameters(*inputs)``.

    >>> from backlit import nn
    >>> layer = nn.LazyLinear(3)
    >>> layer(backlit.zeros(2, 5)).shape, layer
    (Size([2, 3]), Linear(in_features=5, out_features=3, bias=True))
    """

    cls_to_become: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(
                f"module {type(self).__name__} has not been fully initialized: materialize every "
                "parameter in initialize_parameters()."
            )
        if self.cls_to_become is not None:
            scope = self._scope
            self.__class__ = self.cls_to_become
            self.__dict__["_scope"] = scope
        return Module.__call__(self, *args, **kwargs)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters, given the first inputs."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        return any(is_lazy(t) for _, t in (*self._parameters_here(), *self._buffers_here()))


__all__ = ["LazyModuleMixin"]
