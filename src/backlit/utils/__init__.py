"""PyTorch's places for what lives elsewhere here: ``utils.data`` is `backlit.data`."""

from __future__ import annotations

from backlit.utils import data

__all__ = ["data"]
