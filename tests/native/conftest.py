"""Kernels that tests compile go to a cache of the test run, not to the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("BACKLIT_CACHE_DIR")
    os.environ["BACKLIT_CACHE_DIR"] = str(tmp_path_factory.mktemp("kernels"))
    yield
    if before is None:
        del os.environ["BACKLIT_CACHE_DIR"]
    else:
        os.environ["BACKLIT_CACHE_DIR"] = before
