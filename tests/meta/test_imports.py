"""`import backlit` is light: NumPy and the standard library, nothing else that is large."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.meta.sources import SRC

HEAVY = (
    "click",
    "llvmlite",
    "matplotlib",
    "onnx",
    "optuna",
    "pandas",
    "pyarrow",
    "rich",
    "scipy",
    "scipy_openblas32",
    "sklearn",
    "starlette",
    "tensorboard",
    "torch",
    "uvicorn",
)


def packages_loaded_by(code: str) -> set[str]:
    """Names of the top-level packages a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_import_loads_no_heavy_package() -> None:
    """No web, plotting, table, terminal or compiler package is loaded before it is asked for."""
    loaded = packages_loaded_by("import backlit")
    assert "backlit" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


@pytest.mark.parametrize("package", ["rich", "click"])
def test_a_loaded_package_is_seen(package: str) -> None:
    """The check can fail: a package imported in the subprocess is in the list."""
    assert package in packages_loaded_by(f"import {package}")
