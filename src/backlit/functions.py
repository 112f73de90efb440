"""Every public op that PyTorch has at top level: ``backlit.add``, ``backlit.cat`` … (see
``functions.pyi``)."""

from __future__ import annotations

from backlit.core.registry import Family

_family = Family(__name__)
__getattr__ = _family.look_up
__all__ = _family.names  # noqa: PLE0605 - the registry knows the names


def __dir__() -> list[str]:
    return __all__
