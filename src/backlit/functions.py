"""Every public op that PyTorch has at top level: ``backlit.add``, ``backlit.cat`` … (see
``functions.pyi``)."""

from __future__ import annotations

import backlit.autograd
import backlit.ops  # noqa: F401 - defines the ops
from backlit.core.op import PUBLIC

_FAMILY = {name: call for name, call in PUBLIC.items() if "." not in name and name[0] != "_"}
globals().update(_FAMILY)

__all__ = sorted(_FAMILY)  # noqa: PLE0605 - sorted gives a list
