"""The project's own files, parsed: what the tests in this folder read."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
TESTS = ROOT / "tests"


@dataclasses.dataclass(frozen=True)
class Module:
    """One Python file: its dotted name (empty for files that nobody imports) and its tree."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def relative(self) -> str:
        """Path from the project's root, with forward slashes on every system."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def package(self) -> str:
        """The package from which relative imports count."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def module_name(path: Path) -> str:
    """The name under which `import` finds a file of src."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    return tuple(
        Module(path, module_name(path), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((SRC / "backlit").rglob("*.py"))
    )


@functools.cache
def python_files() -> tuple[Module, ...]:
    """Every Python file of the project, tests and benchmarks included."""
    outside = [
        Module(path, "", ast.parse(path.read_text(encoding="utf-8")))
        for folder in ("tests", "benchmarks", "examples", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return (*modules(), *outside)


def imported_or_skip(name: str) -> ModuleType:
    """A module of the package; the test is skipped if it needs an extra that is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if type(error).__name__ != "MissingExtra":
            raise
        pytest.skip(str(error))


def project_files() -> list[Path]:
    """Every file that is, or could be, under version control; nothing that git ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
        return sorted({path for path in found if path.is_file()})
    # Not a checkout but an unpacked archive: it holds only what was tracked, and the environment.
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    )


def constants(node: ast.AST) -> Iterator[str]:
    """Every string written in a piece of code; those of an f-string are its fixed pieces."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
