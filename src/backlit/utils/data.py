# ruff: noqa: F403 - an alias under PyTorch's name
"""``backlit.utils.data``: `backlit.data` under PyTorch's name."""

from __future__ import annotations

from backlit import data
from backlit.data import *

__all__ = data.__all__
