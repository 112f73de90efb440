"""The base of all optimizers: parameter groups, state, and the recorded update."""

from __future__ import annotations

import copy
import functools
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from backlit.autograd import enable_grad
from backlit.autograd.hooks import RemovableHandle
from backlit.core.create import full_constant, tensor
from backlit.core.dtypes import float64
from backlit.core.era import local, realize
from backlit.core.inplace import is_leaf
from backlit.core.tensor import Tensor
from backlit.core.update import update
from backlit.errors import ArgumentError

Params = Iterable[Any]
_keys = itertools.count()


class Optimizer:
    """Base class: holds parameters in groups and rewrites them from their gradients.

    A subclass says in `state_names` what it keeps per parameter, in `numbers` which Python numbers
    a
    step needs (they may change from step to step), in `static` what selects the formula, and in
    `rule` the formula itself, for one parameter. `step` records it for a whole group as one event.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    number_names: ClassVar[tuple[str, ...]] = ("step",)  # state that is a Python number
    static_changes: ClassVar[bool] = False  # whether `static` depends on the step

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "but got Tensor; "
                "pass [tensor] or model.parameters()."
            )
        self.defaults = defaults
        self._opt_called = False  # whether `step` was called: schedulers warn about the wrong order
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._pre_hooks: OrderedDict[int, Any] = OrderedDict()
        self._post_hooks: OrderedDict[int, Any] = OrderedDict()
        self._state_dict_hooks: dict[str, OrderedDict[int, Any]] = {
            k: OrderedDict() for k in ("pre", "post", "load_pre", "load_post")
        }
        groups = list(params)
        if not groups:
            raise ArgumentError("optimizer got an empty parameter list; pass model.parameters().")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own: ``{"params": [...], "lr": 0.1}``."""
        if not isinstance(group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(group).__name__}.")
        group = dict(group)
        params = group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        named = [isinstance(p, tuple) for p in params]
        if any(named) and not all(named):
            raise ArgumentError(
                "all optimizer params should be with/without names. Some param names are missing."
            )
        if self.param_groups and any(named) != ("param_names" in self.param_groups[0]):
            raise ArgumentError(
                "all optimizer param groups should be with/without names. cannot add param group "
                "with "
                f"names {'present' if any(named) else 'missing'} to the optimizer."
            )
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}."
                )
            if not (is_leaf(p) or p.requires_grad is False):
                raise ArgumentError(
                    "can't optimize a non-leaf Tensor; optimize the leaves it was computed from."
                )
        if len({id(p) for p in params}) != len(params):
            import warnings

            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=3,
            )
        group["params"] = params
        for name, default in self.defaults.items():
            group.setdefault(name, default)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in params):
            raise ArgumentError("some parameters appear in more than one parameter group.")
        self.param_groups.append(group)

    # -- what subclasses say -----------------------------------------------------------------

    def numbers(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[float, ...]:
        """The Python numbers of the step, passed to `rule` after the tensors.

        ``own`` is the state of the parameter, whose numbers may be brought forward here.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: an optimizer must define `numbers` and `rule`, or its own "
            "`step`."
        )

    def static(self, group: dict[str, Any], own: dict[str, Any]) -> tuple[Any, ...]:
        """What selects the formula; a change of these is a new recording."""
        return ()

    def start(self, group: dict[str, Any], own: dict[str, Any]) -> None:
        """Numbers that a parameter's state begins with, besides ``step``."""

    def names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The state kept per parameter under these options."""
        return self.state_names

    def initial(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The first value of state ``name`` (zeros unless a subclass says otherwise)."""
        return full_constant(tuple(p.shape), 0, p.dtype)

    # -- stepping ----------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Rewrite every parameter that has a gradient; with ``closure``, compute the loss first."""
        if self._pre_hooks:
            for hook in self._pre_hooks.values():
                hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        local.era.flush()
        self._opt_called = True
        if self._post_hooks:
            for hook in self._post_hooks.values():
                hook(self, (closure,), {})
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        """Record the step of a group: one event for all parameters with the same numbers."""
        names, state = self.names(group), self.state
        params: list[Tensor] = []
        owns: list[dict[str, Any]] = []
        grads: list[Tensor] = []
        at = turns = 0  # runs of parameters at one step
        for p in group["params"]:
            x = p._x
            g = None if x is None else x.grad
            if g is None:
                continue
            own = state[p]
            if "step" not in own:
                self._begin(p, group, own, names)
            own["step"] = step = own["step"] + 1
            if step != at:
                at = step
                turns += 1
            params.append(p)
            owns.append(own)
            grads.append(g)
        if turns == len(self.number_names) == 1:
            numbers, static = self.numbers(group, owns[0]), self.static(group, owns[0])
            self._update(group, names, params, owns, grads, numbers, static)
            return
        buckets: dict[Any, tuple[list[Any], list[Any], list[Any]]] = {}
        for row in zip(params, owns, grads, strict=True):
            key = self.numbers(group, row[1]), self.static(group, row[1])
            for column, x in zip(buckets.setdefault(key, ([], [], [])), row, strict=True):
                column.append(x)
        for (numbers, static), (params, owns, grads) in buckets.items():
            self._update(group, names, params, owns, grads, numbers, static)

    def _update(
        self,
        group: dict[str, Any],
        names: tuple[str, ...],
        params: list[Tensor],
        owns: list[dict[str, Any]],
        grads: list[Tensor],
        numbers: tuple[float, ...],
        static: tuple[Any, ...],
    ) -> None:
        """Record one event for parameters that share their numbers."""
        kind = type(self).__name__
        if local.observer is not None:
            self._tell(local.observer, group, owns, numbers)
        tensors = [*params, *[own[name] for name in names for own in owns], *grads]
        update(kind, self.rule, static, len(params), tensors, numbers)

    def _tell(self, observer: Any, group: Any, owns: list[dict[str, Any]], numbers: Any) -> None:
        """Tell a captured step function how the numbers of its next steps are made."""
        if self._pre_hooks or self._post_hooks:
            observer.refuse("an optimizer has hooks, which are Python")
        if self.static_changes or all(group is not g for g in self.param_groups):
            observer.refuse(f"{type(self).__name__}'s formula may change from step to step")
        observer.made(functools.partial(self._advance, group, owns), numbers)

    def _advance(self, group: dict[str, Any], owns: list[dict[str, Any]]) -> tuple[float, ...]:
        """The numbers of the next step."""
        for own in owns:
            own["step"] += 1
        if len(self.number_names) > 1:  # each state has numbers of its own to bring forward
            for own in owns[1:]:
                self.numbers(group, own)
        return tuple(map(float, self.numbers(group, owns[0])))

    def _begin(
        self, p: Tensor, group: dict[str, Any], own: dict[str, Any], names: tuple[str, ...]
    ) -> None:
        """Make the state of a parameter; what was loaded stays (PyTorch's SGD saves no step)."""
        own["step"] = 1 if any(name in own for name in names) else 0
        self.start(group, own)
        for name in names:
            if name not in own:
                own[name] = self.initial(name, p, group)

    rule: ClassVar[Callable[..., tuple[Any, ...]]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or make them zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                x = p._x
                if x is None:
                    continue
                if set_to_none:
                    x.grad = None
                elif x.grad is not None:
                    x.grad = full_constant(tuple(p.shape), 0, p.dtype)

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and options, with parameters replaced by their numbers."""
        for hook in self._state_dict_hooks["pre"].values():
            hook(self)
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        groups = [
            {
                **{k: v for k, v in g.items() if k != "params"},
                "params": [number[id(p)] for p in g["params"]],
            }
            for g in self.param_groups
        ]
        state = {
            number[id(p)]: {k: self._export(k, v) for k, v in own.items()}
            for p, own in self.state.items()
            if own
        }
        found: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._state_dict_hooks["post"].values():
            found = hook(self, found) or found
        return found

    def _export(self, name: str, value: Any) -> Any:
        """Numbers as 0-d tensors, as PyTorch keeps them; all but counts with every digit."""
        if name not in self.number_names:
            return value
        return tensor(float(value), dtype=None if name == "step" else float64)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            ArgumentError: if the groups do not have the same sizes.
        """
        state_dict = dict(state_dict)
        for hook in self._state_dict_hooks["load_pre"].values():
            state_dict = hook(self, state_dict) or state_dict
        groups = copy.deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ArgumentError(
                f"loaded state dict has a different number of parameter groups ({len(groups)}) "
                f"than the optimizer "
                f"({len(self.param_groups)})."
            )
        for i, (new, own) in enumerate(zip(groups, self.param_groups, strict=True)):
            if len(new["params"]) != len(own["params"]):
                raise ArgumentError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: "
                    f"group {i} has {len(new['params'])} parameters, the optimizer's "
                    f"{len(own['params'])}."
                )
        self.state = defaultdict(dict)
        for new, own in zip(groups, self.param_groups, strict=True):
            for index, p in zip(new["params"], own["params"], strict=True):
                if index in state_dict["state"]:
                    self.state[p] = {
                        k: self._import(k, v, p) for k, v in state_dict["state"][index].items()
                    }
            kept = own["params"]
            names = own.get("param_names")
            own.clear()
            own.update(new)
            own["params"] = kept
            if names is not None:
                own["param_names"] = names
        for hook in self._state_dict_hooks["load_post"].values():
            hook(self)

    def _import(self, name: str, value: Any, p: Tensor) -> Any:
        if name in self.number_names:
            return int(float(value)) if name == "step" else float(value)
        if isinstance(value, Tensor):
            array = np.array(realize(value))
            return tensor(array, dtype=p.dtype if value.dtype.is_floating_point else value.dtype)
        return copy.deepcopy(value)

    # -- hooks -------------------------------------------------------------------------------

    def _hook(
        self, hooks: OrderedDict[int, Any], hook: Any, prepend: bool = False
    ) -> RemovableHandle:
        key = next(_keys)
        hooks[key] = hook
        if prepend:
            hooks.move_to_end(key, last=False)
        return RemovableHandle(hooks, key)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step."""
        return self._hook(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step."""
        return self._hook(self._post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before `state_dict`."""
        return self._hook(self._state_dict_hooks["pre"], hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; it may return another."""
        return self._hook(self._state_dict_hooks["post"], hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another."""
        return self._hook(self._state_dict_hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return self._hook(self._state_dict_hooks["load_post"], hook, prepend)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def check_lr(lr: Any) -> None:
    """A learning rate is a number that is not negative, or a tensor with one element."""
    if isinstance(lr, Tensor) and lr._var.numel != 1:
        raise ArgumentError(f"Tensor lr must be 1-element, got shape {tuple(lr.shape)}.")
    check_at_least_zero("learning rate", lr)


def check_at_least_zero(name: str, value: Any) -> None:
    """Options such as the learning rate must not be negative."""
    if not float(value) >= 0.0:
        raise ArgumentError(f"Invalid {name}: {value} - should be >= 0.")


def check_beta(index: int, value: Any) -> None:
    """Decay rates of running averages lie in [0, 1)."""
    if not 0.0 <= float(value) < 1.0:
        raise ArgumentError(
            f"Invalid beta parameter at index {index}: {value} - should be in [0, 1)."
        )


def number(x: Any) -> float:
    """An option as a Python number (a one-element tensor is read)."""
    value: float = x.item() if isinstance(x, Tensor) else x
    return value
