"""The stubs of `Tensor`'s methods and of the public functions say what the registry binds.

`python -m tests.meta.test_stubs` writes the stubs anew.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import backlit
import backlit.core.methods
from backlit import nn
from backlit.core import homes
from backlit.core.methods import TensorMethods
from backlit.core.registry import PUBLIC

PACKAGE = Path(backlit.__file__).parent
# Modules whose functions come from the registry, and how the names there begin.
FAMILIES = {
    "functions": "",
    "linalg": "linalg.",
    "special": "special.",
    "masked": "masked.",
    "nn/functional": "nn.functional.",
}
FUNCTIONS_HEAD = '''"""Written by `python -m tests.meta.test_stubs`."""

import builtins
from typing import Any

from backlit.core.size import Size
from backlit.core.tensor import Tensor

'''
HEAD = '''"""Written by `python -m tests.meta.test_stubs`."""

import builtins
from typing import Any, Self

from backlit.core.dtypes import dtype as Dtype
from backlit.core.size import Size
from backlit.core.tensor import Tensor

class TensorMethods:
'''
_BUILTINS = ("bool", "int", "float", "str", "tuple", "list", "dict")
_KNOWN = {"Tensor", "Any", "Size", "None", *_BUILTINS}
_FIXED = {
    "__getitem__": "def __getitem__(self, index: Any) -> Tensor: ...",
    "__setitem__": "def __setitem__(self, index: Any, value: Any) -> None: ...",
    "__bool__": "def __bool__(self) -> builtins.bool: ...",
    "__float__": "def __float__(self) -> builtins.float: ...",
    "__int__": "def __int__(self) -> builtins.int: ...",
    "__index__": "def __index__(self) -> builtins.int: ...",
    "__repr__": "def __repr__(self) -> builtins.str: ...",
    "__format__": "def __format__(self, spec: builtins.str) -> builtins.str: ...",
    "__contains__": "def __contains__(self, element: Any) -> builtins.bool: ...",
    "__iter__": "def __iter__(self) -> Any: ...",
    "__array__": "def __array__(self, dtype: Any = ..., copy: Any = ...) -> Any: ...",
    "__deepcopy__": "def __deepcopy__(self, memo: Any) -> Tensor: ...",
    "__reduce_ex__": "def __reduce_ex__(self, protocol: Any) -> Any: ...",
    "item": "def item(self) -> Any: ...",
    "tolist": "def tolist(self) -> Any: ...",
    "numel": "def numel(self) -> builtins.int: ...",
    "nelement": "def nelement(self) -> builtins.int: ...",
    "dim": "def dim(self) -> builtins.int: ...",
    "ndimension": "def ndimension(self) -> builtins.int: ...",
    "backward": "def backward(self, gradient: Any = ..., retain_graph: Any = ..., "
    "create_graph: builtins.bool = ..., inputs: Any = ...) -> None: ...",
    "grad": "grad: Tensor | None",
    "data": "data: Tensor",
    "ndim": "@property\n    def ndim(self) -> builtins.int: ...",
}
_OPERATORS = re.compile(
    r"__[ri]?(add|sub|mul|truediv|floordiv|mod|pow|matmul|and|or|xor|lshift|rshift)__"
)
_COMPARISONS = re.compile(r"__(lt|le|gt|ge|eq|ne)__")


def annotation(text: Any) -> str:
    """An annotation as the stub writes it; what the stub does not know becomes Any."""
    if text is inspect.Parameter.empty:
        return "Any"
    text = text if isinstance(text, str) else getattr(text, "__name__", "Any")
    names = set(re.findall(r"[A-Za-z_][A-Za-z_.]*", text))
    if not names <= _KNOWN:
        return "Any"
    return re.sub(rf"\b({'|'.join(_BUILTINS)})\b", r"builtins.\1", text)


def signature(name: str, call: Callable[..., Any], *, method: bool = True) -> str:
    """``def name(self, …) -> …: ...`` for one method or function."""
    source = call
    own = inspect.signature(call, follow_wrapped=False).parameters.values()
    if hasattr(call, "op") and any(p.kind is p.VAR_POSITIONAL for p in own):
        source = call.op.body
    parameters = list(inspect.signature(source).parameters.values())
    parts = ["self"] if method else []
    keyword_only = False
    for p in parameters[1:] if method else parameters:
        text = annotation(p.annotation)
        default = " = ..." if p.default is not p.empty else ""
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: {text}")
            keyword_only = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: {text}")
        else:
            if p.kind is p.KEYWORD_ONLY and not keyword_only:
                parts.append("*")
                keyword_only = True
            parts.append(f"{p.name}: {text}{default}")
    returned = annotation(inspect.signature(source).return_annotation)
    if method and name.endswith("_") and not name.startswith("__"):
        returned = "Self"
    takes_out = "out" in inspect.signature(call).parameters or hasattr(call, "__wrapped__")
    names = {p.name for p in parameters}
    has_any_keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if takes_out and "out" not in names and not has_any_keywords:
        parts += ([] if keyword_only else ["*"]) + ["out: Any = ..."]
    return f"def {name}({', '.join(parts)}) -> {returned}: ..."


def line(name: str, value: Any) -> str:
    """The stub's line for one attribute."""
    if name in _FIXED:
        return _FIXED[name]
    if isinstance(value, property):
        return f"@property\n    def {name}(self) -> Any: ..."
    if name in ("__eq__", "__ne__"):  # `object` returns a bool
        return f"def {name}(self, other: Any) -> Tensor: ...  # type: ignore[override]"
    if _COMPARISONS.fullmatch(name):
        return f"def {name}(self, other: Any) -> Tensor: ..."
    if _OPERATORS.fullmatch(name):
        returned = "Self" if name.startswith("__i") else "Tensor"
        return f"def {name}(self, other: Any) -> {returned}: ..."
    if name.startswith("__"):
        return f"def {name}(self, *args: Any, **kwargs: Any) -> Any: ..."
    return signature(name, value)


def generate() -> str:
    """The whole stub."""
    found = {name: getattr(TensorMethods, name) for name in homes.OF_TENSOR.split()}
    attributes = {k: v for k, v in found.items() if callable(v) or isinstance(v, property)}
    lines = [f"    {line(name, attributes[name])}" for name in sorted(attributes)]
    return HEAD + "\n".join(line_ for line_ in lines) + "\n"


def functions(prefix: str) -> str:
    """The stub of a module of functions."""
    family = {
        name.removeprefix(prefix): call
        for name, call in PUBLIC.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }
    lines = [
        signature(name, family[name], method=False)
        for name in sorted(family)
        if not name.startswith("_")
    ]
    names = [f'"{name}"' for name in sorted(family) if not name.startswith("_")]
    listed = "\n".join(["__all__ = [", *(f"    {name}," for name in names), "]"])
    return FUNCTIONS_HEAD + "\n".join([listed, "", *lines]) + "\n"


def stubs() -> dict[Path, str]:
    """Every stub and what it should say."""
    found = {PACKAGE / "core/methods.pyi": generate()}
    for module, prefix in FAMILIES.items():
        found[PACKAGE / f"{module}.pyi"] = functions(prefix)
    return found


@pytest.mark.parametrize("path", stubs(), ids=lambda path: path.stem)
def test_stub_is_what_the_registry_binds(path: Path) -> None:
    """The stub is exactly what the generator writes today."""
    assert path.read_text() == stubs()[path], "run `python -m tests.meta.test_stubs`"


def test_stub_names_an_operator_a_method_and_a_variant_in_place() -> None:
    """Editors and type checkers see operators, methods and in-place variants."""
    text = generate()
    for name in ("__add__", "sum", "add_", "reshape"):
        assert f"def {name}(self" in text
    assert nn.functional.relu is not None


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text)
