"""Backlit: neural networks in ordinary eager code at compiled speed, with every value in sight.

Names and semantics are PyTorch's: ``import backlit as torch`` runs course and tutorial code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backlit import autograd, compiler, config, core, errors, functions, ops
from backlit.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from backlit.compiler import source
from backlit.core import create
from backlit.core.create import *  # noqa: F403 - listed in its __all__
from backlit.core.device import device
from backlit.core.dtypes import (
    bfloat16,
    can_cast,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from backlit.core.dtypes import bool_ as bool
from backlit.core.era import eager, flush
from backlit.core.registry import imported_late
from backlit.core.size import Size
from backlit.core.tensor import Tensor

if TYPE_CHECKING:
    from backlit import (
        data,
        func,
        insight,
        interop,
        lab,
        linalg,
        masked,
        nn,
        optim,
        special,
        train,
        utils,
    )
    from backlit.core.capture import capture
    from backlit.core.printing import set_printoptions
    from backlit.functions import *  # noqa: F403 - listed in its __all__
    from backlit.insight.profile import profile
    from backlit.insight.program import program
    from backlit.interop import load, save
    from backlit.native.machine.control import (
        get_num_interop_threads,
        get_num_threads,
        set_num_interop_threads,
        set_num_threads,
    )
    from backlit.ops.generator import (
        Generator,
        default_generator,
        get_rng_state,
        initial_seed,
        manual_seed,
        seed,
        set_rng_state,
    )

float = float32
double = float64
half = float16
long = int64
int = int32
short = int16

__version__ = "0.1.0"

# Imported at their first use, as the ops are, so that `import backlit` stays quick.
_LAZY = (
    "data", "func", "insight", "interop", "lab", "linalg", "masked", "nn", "optim", "special",
    "train", "utils",
)  # fmt: skip
_LAZY_NAMES = {
    "insight.profile": ("profile",),
    "insight.program": ("program",),
    "interop": ("load", "save"),
    "core.capture": ("capture",),
    "native.machine.control": (
        "get_num_interop_threads", "get_num_threads", "set_num_interop_threads",
        "set_num_threads",
    ),
    "core.printing": ("set_printoptions",),
    "ops.generator": (
        "Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed",
        "set_rng_state",
    ),
}  # fmt: skip
_HOMES = {name: f"backlit.{name}" for name in _LAZY}
_HOMES |= {name: f"backlit.{home}" for home, names in _LAZY_NAMES.items() for name in names}
_imported_late = imported_late(__name__, _HOMES)

__all__ = [
    "Generator", "Size", "Tensor", "autograd", "bfloat16", "bool", "can_cast", "capture",
    "compiler", "config", "core", "default_generator", "device", "double", "dtype", "eager",
    "enable_grad", "errors", "finfo", "float", "float16", "float32", "float64", "flush",
    "get_default_dtype", "get_rng_state", "half", "iinfo", "inference_mode", "initial_seed",
    "int", "int16", "int32", "int64", "int8", "is_grad_enabled",
    "is_inference_mode_enabled", "long", "manual_seed", "no_grad", "ops", "promote_types",
    "seed", "set_default_dtype", "set_grad_enabled", "set_printoptions", "set_rng_state",
    "short", "source", "uint8",
]  # fmt: skip
__all__ += _HOMES
__all__ += create.__all__
__all__ += functions.__all__
__all__ = sorted(set(__all__))


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return _imported_late(name)
    if name in functions.__all__:
        found = globals()[name] = getattr(functions, name)
        return found
    raise AttributeError(f"module 'backlit' has no attribute {name!r}{_hint(name)}")


def _hint(name: str) -> str:
    """The nearest public name, for the error about an unknown one."""
    import difflib

    near = difflib.get_close_matches(name, __all__, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def __dir__() -> list[str]:
    return __all__
