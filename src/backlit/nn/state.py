"""Saving and loading the state of modules: `state_dict` and `load_state_dict`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from backlit.autograd import no_grad
from backlit.core.inplace import rebind
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError
from backlit.nn.hooks import HookMethods
from backlit.nn.parameter import Parameter, is_lazy
from backlit.nn.tree import TreeMethods

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class Loading:
    """One `load_state_dict`: what has been found wrong so far, in all modules."""

    def __init__(self, strict: bool, assign: bool) -> None:
        self.strict = strict
        self.assign = assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def problems(self) -> list[str]:
        found = list(self.errors)
        if self.strict and self.unexpected:
            found.insert(0, f"Unexpected key(s) in state_dict: {_quoted(self.unexpected)}. ")
        if self.strict and self.missing:
            found.insert(0, f"Missing key(s) in state_dict: {_quoted(self.missing)}. ")
        return found


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


class StateMethods(HookMethods, TreeMethods):
    """The methods of `Module` that read and write its state."""

    _version = 1

    # -- saving ------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by name, detached unless ``keep_vars``.

        >>> from backlit import nn
        >>> list(nn.Sequential(nn.Linear(2, 3)).state_dict())
        ['0.weight', '0.bias']
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        if self._hooks is not None:
            for hook in self._hooks.state_dict_pre.values():
                hook.call(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._children_here():
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
        if self._hooks is not None:
            for hook in self._hooks.state_dict.values():
                found = hook.call(self, destination, prefix, metadata)
                if found is not None and hook.always_call:
                    raise ArgumentError("state_dict post-hook must return None")
                destination = destination if found is None else found
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own state, not its children's, into ``destination``."""
        for name, t in (*self._parameters_here(), *self._buffers_here(persistent_only=True)):
            if t is not None:
                destination[prefix + name] = t if keep_vars or is_lazy(t) else t.detach()
        if self._has_extra_state("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _has_extra_state(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateMethods, method)

    def get_extra_state(self) -> Any:
        """Override to save something besides tensors; must be picklable."""
        raise NotImplementedError(
            "Reached a code path in Module.get_extra_state() that should never be called: "
            "override it together with set_extra_state()."
        )

    def set_extra_state(self, state: Any) -> None:
        """Override to receive what `get_extra_state` gave."""
        raise NotImplementedError(
            "Reached a code path in Module.set_extra_state() that should never be called: "
            "override it together with get_extra_state()."
        )

    # -- loading -----------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values of ``state_dict`` into this module and its children.

        Args:
            state_dict: what `state_dict` returned (of a module of the same architecture).
            strict: whether missing and unexpected keys are errors.
            assign: take the given tensors themselves instead of copying their values.

        Raises:
            ArgumentError: one that lists every problem of every module.

        >>> from backlit import nn
        >>> nn.Linear(2, 3).load_state_dict(nn.Linear(2, 3).state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        state = OrderedDict(state_dict)
        metadata = getattr(state_dict, "_metadata", None) or {}
        loading = Loading(strict, assign)
        with no_grad():
            _load(self, state, "", metadata, loading)
        problems = loading.problems()
        if problems:
            raise ArgumentError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(problems)
            )
        return IncompatibleKeys(loading.missing, loading.unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own state, not its children's; problems are added to the lists."""
        if self._hooks is not None:
            lists = (missing_keys, unexpected_keys, error_msgs)
            for hook in self._hooks.load_pre.values():
                first = (self,) if hook.with_kwargs else ()
                hook.call(*first, state_dict, prefix, local_metadata, strict, *lists)
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        own = [*self._parameters_here(), *self._buffers_here(persistent_only=True)]
        for name, t in own:
            if t is None:
                continue
            if prefix + name in state_dict:
                problem = self._load_one(name, t, prefix + name, state_dict[prefix + name], assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(prefix + name)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            known = {name for name, t in own if t is not None}
            known |= {name for name, _ in self._children_here()}
            unexpected_keys.extend(
                key
                for key in state_dict
                if key.startswith(prefix)
                and key != prefix + EXTRA_STATE
                and not _is_known(key[len(prefix) :], known, self)
            )

    def _load_extra_state(
        self, state_dict: dict[str, Any], prefix: str, strict: bool, missing: Any, unexpected: Any
    ) -> None:
        key = prefix + EXTRA_STATE
        if self._has_extra_state("set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing.append(key)
        elif strict and key in state_dict:
            unexpected.append(key)

    def _load_one(self, name: str, t: Tensor, key: str, new: Any, assign: bool) -> str:
        """Load one tensor; says what is wrong, or nothing."""
        if not isinstance(new, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(new)}"
            )
        if is_lazy(new) and not is_lazy(t):
            return (
                f'While copying the parameter named "{key}", the parameter in the checkpoint has '
                "no shape yet; run the saved model once before saving it."
            )
        if is_lazy(t):
            setattr(self, name, new if is_lazy(new) else _as_kind(new, t))
            return ""
        if t.shape == () and tuple(new.shape) == (1,):
            new = new.reshape(())
        if new.shape != t.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {new.shape} from "
                f"checkpoint, the shape in current model is {t.shape}."
            )
        if assign:
            setattr(self, name, _as_kind(new, t))
        else:
            assign_values(t, new)
        return ""


def _as_kind(new: Tensor, t: Tensor) -> Tensor:
    """``new`` as what ``t`` is in its module: a parameter or a plain tensor."""
    if isinstance(t, Parameter) and not isinstance(new, Parameter):
        return Parameter(new, requires_grad=t.requires_grad)
    return new


def assign_values(t: Tensor, new: Tensor) -> None:
    """Give ``t`` the values of ``new`` in its own dtype and memory, without history."""
    with no_grad():
        rebind(t, new.detach().clone() if new.dtype is t.dtype else new.to(t.dtype), "copy_")


def _is_known(rest: str, known: set[str], module: Any) -> bool:
    first, _, deeper = rest.partition(".")
    if rest in known and first not in dict(module._children_here()):
        return True
    return bool(deeper) and first in dict(module._children_here())


def _load(module: Any, state: dict[str, Any], prefix: str, metadata: Any, loading: Loading) -> None:
    """Load ``module`` and its children, and run their hooks for after loading."""
    local_metadata = dict(metadata.get(prefix[:-1], {}))
    if loading.assign:
        local_metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(
        state, prefix, local_metadata, True, loading.missing, loading.unexpected, loading.errors
    )
    for name, child in module._children_here():
        child_prefix = f"{prefix}{name}."
        part = {key: t for key, t in state.items() if key.startswith(child_prefix)}
        _load(child, part, child_prefix, metadata, loading)
    if module._hooks is not None:
        for hook in module._hooks.load_post.values():
            found = hook.call(module, IncompatibleKeys(loading.missing, loading.unexpected))
            if found is not None:
                raise ArgumentError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )


__all__ = ["IncompatibleKeys", "StateMethods", "assign_values"]
