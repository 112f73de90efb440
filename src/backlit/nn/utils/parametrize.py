"""Parametrizations: a tensor of a module that is computed from others whenever it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from backlit.autograd import no_grad
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn.container import ModuleDict, ModuleList
from backlit.nn.module import Module
from backlit.nn.parameter import Parameter
from backlit.nn.state import assign_values

_cache: dict[tuple[int, str], Tensor] | None = None


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor only once inside."""
    global _cache
    outer, _cache = _cache, _cache if _cache is not None else {}
    try:
        yield
    finally:
        _cache = outer


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and the original it is computed from.

    A parametrization whose ``right_inverse`` returns several tensors has the originals
    ``original0``, ``original1``, …
    """

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        learned = isinstance(original, Parameter)
        found: Any = original
        with no_grad():
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    found = module.right_inverse(found)
        self.is_tensor = isinstance(found, Tensor)
        self.ntensors = 1 if self.is_tensor else len(found)
        originals = [found] if self.is_tensor else list(found)
        for name, t in zip(self._names(), originals, strict=True):
            if learned:
                same = t is original
                made = original if same else Parameter(t.detach().clone(), original.requires_grad)
                self.register_parameter(name, made)  # type: ignore[arg-type]
            else:
                self.register_buffer(name, t)
        if not unsafe:
            self._check(original)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _check(self, original: Tensor) -> None:
        made = self.forward()
        if not isinstance(made, Tensor) or made.shape != original.shape:
            got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ArgumentError(
                "Registering a parametrization may not change the shape of the tensor, unless "
                f"`unsafe` flag is enabled: it was {tuple(original.shape)} and would be {got}."
            )

    def forward(self) -> Any:
        modules = list(self)
        x = modules[0](*(getattr(self, name) for name in self._names()))
        for module in modules[1:]:
            x = module(x)
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Choose the originals so that the parametrized tensor becomes ``value``."""
        with no_grad():
            found: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise ArgumentError(
                        f"parametrization {type(module).__name__} does not implement "
                        "right_inverse, so the tensor cannot be assigned."
                    )
                found = module.right_inverse(found)
            for name, t in zip(self._names(), [found] if self.is_tensor else found, strict=True):
                assign_values(getattr(self, name), t)


def _property(name: str) -> property:
    def get(self: Module) -> Any:
        key = (id(self), name)
        if _cache is not None and key in _cache:
            return _cache[key]
        made = self.parametrizations[name]()
        if _cache is not None:
            _cache[key] = made
        return made

    def put(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def _parametrized_class(kind: type[Module]) -> type[Module]:
    """A subclass of ``kind`` for one module, which its parametrized tensors are properties of."""

    def refuse(self: Module, protocol: Any) -> Any:
        raise ArgumentError(
            "Serialization of parametrized modules is only supported through state_dict(); remove "
            "the parametrizations before pickling."
        )

    def copied(self: Module, memo: dict[int, Any]) -> Module:
        made: Module = object.__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(deepcopy(self.__dict__, memo))
        made.__class__ = type(type(self).__name__, type(self).__bases__, dict(vars(type(self))))
        return made

    members = {"__reduce_ex__": refuse, "__deepcopy__": copied, "_parametrizes": kind}
    return type(f"Parametrized{kind.__name__}", (kind,), members)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations (of this tensor)."""
    found = module.__dict__.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute ``module.<tensor_name>`` by ``parametrization`` from the original from now on.

    Args:
        module: the owner of the parameter or buffer.
        tensor_name: its name.
        parametrization: a module whose forward takes the original; its ``right_inverse``, if it
            has one, makes assignment possible.
        unsafe: do not check the shape.

    >>> from backlit import nn
    >>> from backlit.nn.utils import parametrize
    >>> layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", nn.ReLU())
    >>> bool((layer.weight >= 0).all()), [name for name, _ in layer.named_parameters()]
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        listed = module.parametrizations[tensor_name]
        listed.append(parametrization)
        return module
    if tensor_name not in (*module._parameters, *module._buffers):
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    listed = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _parametrized_class(type(module))
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = listed
    setattr(type(module), tensor_name, _property(tensor_name))
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor an ordinary one: with its present value, or the original's."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    listed = module.parametrizations[tensor_name]
    if not leave_parametrized and not listed.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    first = getattr(listed, listed._names()[0])
    value = getattr(module, tensor_name).detach() if leave_parametrized else first
    if isinstance(first, Parameter) and not isinstance(value, Parameter):
        value = Parameter(value, first.requires_grad)
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if isinstance(value, Parameter):
        module.register_parameter(tensor_name, value)
    else:
        module.register_buffer(tensor_name, value)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type_before_parametrizations(module)
    return module


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class a module had before it was parametrized."""
    found: type[Module] = getattr(type(module), "_parametrizes", type(module))
    return found


__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]
