"""Module: the base class of layers and networks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Self, TypeVar

from backlit.autograd import no_grad
from backlit.core.device import check_device
from backlit.core.dtypes import as_dtype, bfloat16, dtype, float16, float32, float64
from backlit.core.inplace import is_leaf
from backlit.core.observer import changes
from backlit.core.tensor import Tensor
from backlit.core.trace import module_calls
from backlit.errors import GradientError
from backlit.nn.hooks import Hooks, call_with_hooks, everywhere
from backlit.nn.parameter import Buffer, Parameter, Uninitialized
from backlit.nn.shortcut import REPEATABLE, Shortcuts
from backlit.nn.state import StateMethods
from backlit.nn.tree import BUFFER, MODULE, PARAMETER, TRANSIENT

M = TypeVar("M", bound="Module")


class Registry(MutableMapping[str, Any]):
    """The parameters, buffers or children of a module by name; changing it changes the module."""

    __slots__ = ("_kinds", "_module")

    def __init__(self, module: Module, *kinds: str) -> None:
        self._module = module
        self._kinds = kinds

    def __getitem__(self, name: str) -> Any:
        if self._module._kinds.get(name) not in self._kinds:
            raise KeyError(f"the module has no {self._kinds[0]} {name!r}")
        return self._module.__dict__[name]

    def __setitem__(self, name: str, x: Any) -> None:
        was = self._module._kinds.get(name)
        self._module._enroll(name, x, was if was in self._kinds else self._kinds[0])

    def __delitem__(self, name: str) -> None:
        self[name]
        self._module.__delattr__(name)

    def __iter__(self) -> Iterator[str]:
        return iter([n for n, kind in self._module._kinds.items() if kind in self._kinds])

    def __len__(self) -> int:
        return sum(kind in self._kinds for kind in self._module._kinds.values())

    def __repr__(self) -> str:
        return repr(dict(self))


class Module(StateMethods):
    """A part of a network: parameters, buffers and submodules, and a `forward` that uses them.

    Tensors and modules are plain attributes; ``_kinds`` says, in order of registration, which of
    them are parameters, buffers or children.

    >>> from backlit import nn
    >>> class Affine(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter(backlit.tensor(3.0))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> Affine()(backlit.tensor(2.0)).item()
    6.0
    """

    _scope = ""  # the name under which the parent holds this module, for provenance
    _hooks: Hooks | None = None
    _shortcuts: Shortcuts | None = None
    _stamp = 0  # how often an attribute was assigned
    training: bool

    def __init__(self) -> None:
        d = self.__dict__
        d["training"] = True
        d["_kinds"] = {}
        d["_hooks"] = None
        d["_scope"] = type(self).__name__
        d["_stamp"] = 0
        d["_shortcuts"] = Shortcuts() if type(self) in REPEATABLE else None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hooks = self._hooks
        if hooks is not None or everywhere.active:
            return call_with_hooks(self, args, kwargs)
        shortcuts = self._shortcuts
        if shortcuts is not None and not kwargs:
            return shortcuts.call(self, args)
        return self.forward(*args, **kwargs)

    module_calls.add(__call__.__code__)

    # -- attributes --------------------------------------------------------------------------

    def __setattr__(self, name: str, x: Any) -> None:
        self._note_change()
        kinds = self.__dict__.get("_kinds")
        if isinstance(x, Parameter):
            kind = PARAMETER
        elif isinstance(x, Module):
            kind = MODULE
        elif isinstance(x, Buffer):
            kind = BUFFER if x.persistent else TRANSIENT
        elif kinds is None or name not in kinds:
            object.__setattr__(self, name, x)
            return
        else:
            kind = kinds[name]
            if x is not None and not (isinstance(x, Tensor) and kind in (BUFFER, TRANSIENT)):
                raise _wrong_kind(name, x, kind)
        if kinds is None:
            raise AttributeError(
                f"cannot assign {kind} before Module.__init__() call; start the constructor of "
                f"{type(self).__name__} with super().__init__()."
            )
        self._enroll(name, x, kind)

    def _enroll(self, name: str, x: Any, kind: str) -> None:
        """Hold ``x`` as attribute ``name`` of this kind."""
        kinds = self._kinds
        self._note_change()
        if isinstance(getattr(type(self), name, None), property):  # a parametrized tensor, say
            object.__setattr__(self, name, x)
            return
        if kind is MODULE:
            for hook in everywhere.registration.values():
                found = hook.call(self, name, x)
                x = x if found is None else found
            if x is not None:
                x.__dict__["_scope"] = name
        if kinds.get(name) != kind:
            kinds.pop(name, None)
            kinds[name] = kind
        object.__setattr__(self, name, x)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)
        self._note_change()

    def _note_change(self) -> None:
        """An attribute changed: what was noted of calls, and what was captured, may be another."""
        self.__dict__["_stamp"] = self._stamp + 1
        changes.count += 1

    def __getattr__(self, name: str) -> Any:
        message = f"'{type(self).__name__}' object has no attribute '{name}'"
        names = [n for n in (*self.__dict__, *dir(type(self))) if not n.startswith("_")]
        close = difflib.get_close_matches(name, names, 1, 0.75)
        raise AttributeError(f"{message}; did you mean '{close[0]}'?" if close else message)

    def __copy__(self) -> Any:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__["_kinds"] = dict(self._kinds)
        if self._shortcuts is not None:
            made.__dict__["_shortcuts"] = Shortcuts()
        return made

    @property
    def _parameters(self) -> Registry:
        return Registry(self, PARAMETER)

    @property
    def _buffers(self) -> Registry:
        return Registry(self, BUFFER, TRANSIENT)

    @property
    def _modules(self) -> Registry:
        return Registry(self, MODULE)

    @property
    def _non_persistent_buffers_set(self) -> set[str]:
        return {name for name, kind in self._kinds.items() if kind == TRANSIENT}

    # -- registering -------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name (a bias that is switched off)."""
        self._check_name(name, PARAMETER)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and not is_leaf(param):
            raise GradientError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                "created explicitly; to express it as a function of another tensor, compute the "
                "value in the forward() method."
            )
        self._enroll(name, param, PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learned; it is saved in `state_dict` if ``persistent``."""
        self._check_name(name, BUFFER, TRANSIENT)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._enroll(name, tensor, BUFFER if persistent else TRANSIENT)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under any name, also one that is not an identifier."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, MODULE)
        self._enroll(name, module, MODULE)

    register_module = add_module

    def _check_name(self, name: Any, *kinds: str) -> None:
        kind = kinds[0].removeprefix("child ")
        if "_kinds" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if self._kinds.get(name) not in kinds and _has(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # -- changing everything at once ---------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below and then on this one (to initialise weights, say)."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the values of every parameter, gradient and buffer by ``fn`` of them."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for _, p in self._parameters_here():
                if p is None:
                    continue
                _change(p, fn)
                if p.grad is not None:
                    _change(p.grad, fn)
            for name, b in self._buffers_here():
                if isinstance(b, Uninitialized):
                    _change(b, fn)
                elif b is not None:
                    self.__dict__[name] = fn(b)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert floating-point parameters and buffers to a dtype; a device must be the CPU."""
        check_device(kwargs.get("device"))
        target = kwargs.get("dtype")
        for a in args:
            if isinstance(a, Tensor):
                target = a.dtype
            elif isinstance(a, (dtype, type)):
                target = a
            elif not isinstance(a, bool):
                check_device(a)
        if target is None:
            return self
        d = as_dtype(target)
        if not d.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={d!r}"
            )
        return self._apply(lambda t: t.to(d) if t.dtype.is_floating_point else t)

    def type(self, dst_type: dtype) -> Self:
        """Convert all parameters and buffers, also those of integers."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(float64)

    def half(self) -> Self:
        """Convert to float16."""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """Convert to bfloat16."""
        return self.to(bfloat16)

    def cpu(self) -> Self:
        """Nothing: modules are always on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: there is no GPU backend."""
        check_device("cuda" if device is None else f"cuda:{device}")
        return self

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Only checks the device: tensors always have memory here."""
        check_device(device)
        return self

    def share_memory(self) -> Self:
        """Nothing: state is shared between processes by sending it."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> Self:
        """Nothing: code is compiled as it runs."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode (dropout drops, batch norm uses the batch) or back."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode: the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Collect gradients for all parameters, or freeze them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for p in self.parameters():
            if p.grad is not None:
                p.grad = None if set_to_none else p.grad.detach() * 0

    # -- text --------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What a subclass shows of itself between the parentheses."""
        return ""

    def __repr__(self) -> str:
        own = self.extra_repr()
        lines = own.split("\n") if own else []
        d = self.__dict__
        children = [
            f"({name}): " + repr(d[name]).replace("\n", "\n  ")
            for name, kind in self._kinds.items()
            if kind == MODULE
        ]
        if len(lines) <= 1 and not children:
            return f"{self._get_name()}({own})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def _change(t: Tensor, fn: Callable[[Tensor], Tensor]) -> None:
    """Give ``t`` the values that ``fn`` makes of its own, without history."""
    if isinstance(t, Uninitialized):
        t.convert(fn(Tensor(0).to(t.dtype)).dtype)
        return
    old = t.detach()
    new = fn(old)
    if new is not old:
        t.data = new


def _wrong_kind(name: str, x: Any, kind: str) -> Exception:
    expected = {PARAMETER: "torch.nn.Parameter", MODULE: "torch.nn.Module"}.get(
        kind, "torch.nn.Buffer, torch.Tensor"
    )
    return TypeError(
        f"cannot assign '{type(x).__name__}' as {kind} '{name}' ({expected} or None expected)"
    )


def _has(module: Module, name: str) -> bool:
    """``hasattr`` without the search for similar names, which takes longer than making a layer."""
    try:
        object.__getattribute__(module, name)
    except AttributeError:
        return False
    return True


__all__ = ["Module", "Registry"]
