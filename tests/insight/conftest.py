"""Kernels that tests compile go to a cache of the test run, not to the user's."""

from __future__ import annotations

from tests.native.conftest import kernel_cache

__all__ = ["kernel_cache"]
