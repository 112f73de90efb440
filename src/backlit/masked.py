"""``backlit.masked``: ops on the elements that a mask selects, under PyTorch's names."""

from __future__ import annotations

from backlit.core.op import PUBLIC

_FAMILY = {
    name.removeprefix("masked."): call
    for name, call in PUBLIC.items()
    if name.startswith("masked.")
}
globals().update(_FAMILY)

__all__ = sorted(_FAMILY)  # noqa: PLE0605 - sorted gives a list
