"""Optional packages: imported when they are needed, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backlit.errors import MissingExtra


def require(module: str, extra: str, purpose: str) -> Any:
    """The module, imported now.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise MissingExtra(
            f"{purpose} needs {missing}, which is not installed; "
            f"install it with: pip install backlit[{extra}]"
        ) from None
