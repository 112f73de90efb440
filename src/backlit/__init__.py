"""Backlit: neural networks in ordinary eager code at compiled speed, with every value in sight.

Names and semantics are PyTorch's: ``import backlit as torch`` runs course and tutorial code.
"""

from __future__ import annotations

from backlit import autograd, compiler, config, core, errors, ops
from backlit.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from backlit.compiler import source
from backlit.core.create import *  # noqa: F403 - creation functions, listed in its __all__
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
)  # fmt: skip
from backlit.core.dtypes import bool_ as bool
from backlit.core.era import eager, flush
from backlit.core.op import PUBLIC as _PUBLIC
from backlit.core.printing import set_printoptions
from backlit.core.size import Size
from backlit.core.tensor import Tensor
from backlit.ops.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)  # fmt: skip

float = float32
double = float64
half = float16
long = int64
int = int32
short = int16

__version__ = "0.1.0"

globals().update({name: call for name, call in _PUBLIC.items() if "." not in name})

__all__ = sorted(
    {
        "Generator", "Size", "Tensor", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed",
        "set_rng_state", "source", "eager", "flush", "autograd", "bfloat16", "bool", "can_cast", "compiler", "config", "core", "double", "dtype",
        "enable_grad", "errors", "finfo", "float", "float16", "float32", "float64", "get_default_dtype", "half",
        "iinfo", "inference_mode", "int", "int16", "int32", "int64", "int8", "is_grad_enabled", "long", "no_grad",
        "ops", "promote_types", "set_default_dtype", "set_grad_enabled", "set_printoptions", "short", "uint8",
    }
    | {name for name in _PUBLIC if "." not in name}
)  # fmt: skip
