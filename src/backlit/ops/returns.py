"""Named tuples that ops with several results return, as in ``x.max(dim=0).indices``."""

from __future__ import annotations

import collections
from typing import Any


def _repr(self: Any) -> str:
    fields = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"backlit.return_types.{type(self).__name__}(\n{fields})"


def named(op_name: str, fields: str) -> Any:
    """The class of what ``op_name`` returns, with the given field names.

    >>> named("max", "values indices")(1, 2)
    backlit.return_types.max(
    values=1,
    indices=2)
    """
    base: Any = collections.namedtuple(op_name, fields)  # type: ignore[misc]  # noqa: PYI024
    made: Any = type(op_name, (base,), {"__slots__": (), "__repr__": _repr})
    made.__doc__ = f"What `{op_name}` returns: {' and '.join(fields.split())}."
    RETURN_TYPES[op_name] = made
    return made


RETURN_TYPES: dict[str, Any] = {}
