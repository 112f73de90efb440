"""The benchmarks' own arithmetic, and that each section starts in a clean process."""

from __future__ import annotations

import ast
import doctest
import subprocess
import sys

from benchmarks import limits, measure
from benchmarks.__main__ import MODULES, ROOT


def test_examples() -> None:
    """Ratios and the work of a step are as their examples say."""
    for module in (limits, measure):
        failed, tried = doctest.testmod(module)
        assert (failed, tried > 0) == (0, True)


def test_every_module_with_sections_is_listed() -> None:
    """A module that defines SECTIONS is one whose sections can be asked for."""
    having = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SECTIONS"
    }
    assert having == set(MODULES)


def test_the_list_of_sections_loads_no_framework() -> None:
    """What one section measures does not carry another's imports."""
    code = (
        "import sys; from benchmarks.__main__ import sections; sections(); "
        "print(sorted({'backlit', 'torch', 'jax', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
