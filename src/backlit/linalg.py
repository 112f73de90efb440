"""``backlit.linalg``: linear algebra under PyTorch's names."""

from __future__ import annotations

from backlit.core.registry import Family
from backlit.errors import LinAlgError

_family = Family(__name__, "linalg.")
__getattr__ = _family.look_up
__all__ = ["LinAlgError", *_family.names]  # noqa: PLE0604 - the registry knows the names


def __dir__() -> list[str]:
    return __all__
