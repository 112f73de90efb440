"""Walking over modules: their submodules, parameters and buffers, by dotted name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from backlit.core.tensor import Tensor
from backlit.nn.parameter import Parameter

if TYPE_CHECKING:
    from backlit.nn.module import Module

PARAMETER = "parameter"
BUFFER = "buffer"
TRANSIENT = "buffer that is not saved"
MODULE = "child module"


class TreeMethods:
    """The methods of `Module` that find what is in it; ``_kinds`` says what each attribute is."""

    _kinds: dict[str, str]

    def _parameters_here(self) -> Iterator[tuple[str, Any]]:
        d = self.__dict__
        return iter([(n, d[n]) for n, kind in self._kinds.items() if kind == PARAMETER])

    def _buffers_here(self, persistent_only: bool = False) -> Iterator[tuple[str, Any]]:
        d = self.__dict__
        wanted = (BUFFER,) if persistent_only else (BUFFER, TRANSIENT)
        return iter([(n, d[n]) for n, kind in self._kinds.items() if kind in wanted])

    def _children_here(self) -> Iterator[tuple[str, Any]]:
        d = self.__dict__
        children = [(n, d[n]) for n, kind in self._kinds.items() if kind == MODULE]
        return iter([(n, child) for n, child in children if child is not None])

    def named_modules(
        self: Any, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their dotted names; each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._children_here():
            path = f"{prefix}.{name}" if prefix else name
            yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children, each once."""
        seen: set[Module] = set()
        for name, child in self._children_here():
            if child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self,
        members: Callable[[Any], Iterator[tuple[str, Any]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, t in members(module):
                if t is None or id(t) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(t))
                yield (f"{path}.{name}" if path else name), t

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; shared ones once."""
        return self._named_members(TreeMethods._parameters_here, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter: what an optimizer is given."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name; shared ones once."""
        return self._named_members(TreeMethods._buffers_here, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, saved or not."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; the empty name is the module itself."""
        found: Any = self
        for item in target.split(".") if target else ():
            if not hasattr(found, item):
                raise AttributeError(f"{type(found).__name__} has no attribute `{item}`")
            found = getattr(found, item)
            if not isinstance(found, TreeMethods):
                raise AttributeError(f"`{item}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace the module with this dotted name (or add it, unless ``strict``)."""
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, TreeMethods):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and name not in parent._kinds:
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name."""
        found: Parameter = self._get_member(target, (PARAMETER,), "an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with this dotted name."""
        found: Tensor = self._get_member(target, (BUFFER, TRANSIENT), "a buffer")
        return found

    def _get_member(self, target: str, kinds: tuple[str, ...], what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if module._kinds.get(name) not in kinds:
            raise AttributeError(f"`{name}` is not {what}")
        return getattr(module, name)


__all__ = ["BUFFER", "MODULE", "PARAMETER", "TRANSIENT", "TreeMethods"]
