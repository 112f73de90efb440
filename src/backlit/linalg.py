"""``backlit.linalg``: linear algebra under PyTorch's names."""

from __future__ import annotations

from backlit.core.op import PUBLIC
from backlit.errors import LinAlgError

_PREFIX = "linalg."
_FAMILY = {
    name.removeprefix(_PREFIX): call for name, call in PUBLIC.items() if name.startswith(_PREFIX)
}
globals().update(_FAMILY)

__all__ = ["LinAlgError", *sorted(_FAMILY)]  # noqa: PLE0604 - the registry knows the names
