"""Hooks: functions that a user attaches to modules, called around forward and backward."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from backlit.core.era import local
from backlit.core.observer import changes
from backlit.errors import ArgumentError
from backlit.nn.backward_hooks import BackwardHooks

if TYPE_CHECKING:
    from backlit.nn.module import Module

Hook = Callable[..., Any]

_next_id = itertools.count()


class RemovableHandle:
    """Removes a hook: ``handle.remove()``, or at the end of a ``with`` block."""

    __slots__ = ("__weakref__", "_hooks", "id")

    def __init__(self, hooks: OrderedDict[int, Any]) -> None:
        self.id = next(_next_id)
        self._hooks: weakref.ref[Any] | None = weakref.ref(hooks)
        changes.count += 1

    def remove(self) -> None:
        """Take the hook away; nothing happens if it is gone already."""
        hooks = self._hooks() if self._hooks is not None else None
        if hooks is not None:
            hooks.pop(self.id, None)
            changes.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        return self.id

    def __setstate__(self, state: Any) -> None:
        self.id, self._hooks = state, None


class HookDict(OrderedDict[int, "Registered"]):
    """Hooks of one kind, in the order of their calls."""

    def insert(self, hook: Registered, prepend: bool = False) -> RemovableHandle:
        handle = RemovableHandle(self)
        self[handle.id] = hook
        if prepend:
            self.move_to_end(handle.id, last=False)
        return handle


class Registered:
    """A hook with the options it was registered with."""

    __slots__ = ("always_call", "call", "with_kwargs")

    def __init__(self, call: Hook, with_kwargs: bool = False, always_call: bool = False) -> None:
        self.call = call
        self.with_kwargs = with_kwargs
        self.always_call = always_call


class Hooks:
    """All hooks of one module (or, for `everywhere`, of all modules)."""

    KINDS = (
        "forward_pre", "forward", "backward_pre", "backward", "registration",
        "state_dict_pre", "state_dict", "load_pre", "load_post",
    )  # fmt: skip

    __slots__ = ("active", *KINDS)

    active: bool  # for `everywhere`: whether calls have to look for hooks

    def __init__(self) -> None:
        self.active = False
        for kind in self.KINDS:
            setattr(self, kind, HookDict())

    def around_calls(self) -> bool:
        """Whether any hook has to be run when the module is called."""
        of = self
        return bool(of.forward_pre or of.forward or of.backward_pre or of.backward)

    if TYPE_CHECKING:
        forward_pre: HookDict
        forward: HookDict
        backward_pre: HookDict
        backward: HookDict
        registration: HookDict
        state_dict_pre: HookDict
        state_dict: HookDict
        load_pre: HookDict
        load_post: HookDict


everywhere = Hooks()  # hooks that apply to every module


# -- calling a module that has hooks --------------------------------------------------------------


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward(*args, **kwargs)`` with every hook around it."""
    own = module._hooks or _none
    everywhere.active = everywhere.around_calls()
    if local.observer is not None and (everywhere.active or own.around_calls()):
        local.observer.refuse("a module has hooks, which are Python")
    state = _Call(module)
    try:
        return state.run(own, args, kwargs)
    except Exception:
        state.run_remaining(own)
        raise


_none = Hooks()


class _Call:
    """One call of a module with hooks: what they see and have changed so far."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.result: Any = None
        self.called: set[int] = set()

    def run(self, own: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.args, self.kwargs = args, kwargs
        for hook in (*everywhere.forward_pre.values(), *own.forward_pre.values()):
            self._before(hook)
        pre = [h.call for h in (*everywhere.backward_pre.values(), *own.backward_pre.values())]
        full = [h.call for h in (*everywhere.backward.values(), *own.backward.values())]
        gradients = BackwardHooks(self.module, pre, full) if pre or full else None
        if gradients is not None:
            self.args = gradients.watch_inputs(self.args)
        self.result = self.module.forward(*self.args, **self.kwargs)
        for key, hook in (*everywhere.forward.items(), *own.forward.items()):
            self.called.add(key)
            self._after(hook)
        if gradients is not None:
            self.result = gradients.watch_outputs(self.result)
        return self.result

    def _before(self, hook: Registered) -> None:
        if not hook.with_kwargs:
            found = hook.call(self.module, self.args)
            if found is not None:
                self.args = found if isinstance(found, tuple) else (found,)
            return
        found = hook.call(self.module, self.args, self.kwargs)
        if found is None:
            return
        if not isinstance(found, tuple) or len(found) != 2:
            raise ArgumentError(
                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                f"but got {found}."
            )
        self.args, self.kwargs = found

    def _after(self, hook: Registered) -> None:
        extra = (self.kwargs,) if hook.with_kwargs else ()
        found = hook.call(self.module, self.args, *extra, self.result)
        if found is not None:
            self.result = found

    def run_remaining(self, own: Hooks) -> None:
        """After an error: the hooks that are always called, if they were not."""
        for key, hook in (*everywhere.forward.items(), *own.forward.items()):
            if hook.always_call and key not in self.called:
                try:
                    self._after(hook)
                except Exception as error:  # noqa: BLE001 - the first error is the one to report
                    warnings.warn(
                        f"forward hook with always_call=True raised an exception that was silenced "
                        f"as another error was raised in forward: {error}",
                        stacklevel=5,
                    )


# -- registering ----------------------------------------------------------------------------------


class HookMethods:
    """The methods of `Module` that attach hooks; each returns a handle with ``remove()``."""

    _hooks: Hooks | None
    _note_change: Callable[[], None]

    def _own_hooks(self) -> Hooks:
        hooks = self._hooks
        if hooks is None:
            hooks = self.__dict__["_hooks"] = Hooks()
            self._note_change()
        return hooks

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args[, kwargs])`` before forward; it may return new arguments."""
        return self._own_hooks().forward_pre.insert(Registered(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args[, kwargs], output)`` after forward; it may return a new output.

        >>> from backlit import nn
        >>> layer = nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(backlit.tensor(3.0)).item()
        6.0
        """
        made = Registered(hook, with_kwargs, always_call)
        return self._own_hooks().forward.insert(made, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before gradients pass; it may return new ones."""
        return self._own_hooks().backward_pre.insert(Registered(hook), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)``; it may return a new grad_input."""
        return self._own_hooks().backward.insert(Registered(hook), prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` reads this module."""
        return self._own_hooks().state_dict_pre.insert(Registered(hook))

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after; it changes it in place."""
        return self._own_hooks().state_dict.insert(Registered(hook, always_call=True))

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """As `register_state_dict_post_hook`, but the hook may return another dictionary."""
        return self._own_hooks().state_dict.insert(Registered(hook))

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook`` before loading, with the arguments of ``_load_from_state_dict``."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        return self._own_hooks().load_pre.insert(Registered(hook, with_kwargs=with_module))

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after; it may change the lists in place."""
        return self._own_hooks().load_post.insert(Registered(hook))

    @property
    def _forward_hooks(self) -> HookDict:
        return self._own_hooks().forward

    @property
    def _forward_pre_hooks(self) -> HookDict:
        return self._own_hooks().forward_pre

    @property
    def _backward_hooks(self) -> HookDict:
        return self._own_hooks().backward


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """As `Module.register_forward_pre_hook`, for every module there is."""
    everywhere.active = True
    return everywhere.forward_pre.insert(Registered(hook))


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """As `Module.register_forward_hook`, for every module there is."""
    everywhere.active = True
    return everywhere.forward.insert(Registered(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """As `Module.register_full_backward_pre_hook`, for every module there is."""
    everywhere.active = True
    return everywhere.backward_pre.insert(Registered(hook))


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """As `Module.register_full_backward_hook`, for every module there is."""
    everywhere.active = True
    return everywhere.backward.insert(Registered(hook))


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` at registration; it may return another."""
    return everywhere.registration.insert(Registered(hook))


__all__ = [
    "HookMethods", "Hooks", "RemovableHandle", "call_with_hooks", "everywhere",
    "register_module_forward_hook", "register_module_forward_pre_hook",
    "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
]  # fmt: skip
