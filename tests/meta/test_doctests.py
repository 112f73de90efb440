"""Every example in a docstring, in the README and in docs/ prints what it says it prints.

pytest's own doctest collection would work too; here the examples also see `backlit` and `np`
without importing them, and the fixtures that watch global state apply.
"""

from __future__ import annotations

import doctest
import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.meta.sources import ROOT, Module, imported_or_skip, modules

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DOCUMENTS = [path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if path.exists()]


def names() -> dict[str, Any]:
    """What every example may use without importing it."""
    return {"backlit": importlib.import_module("backlit"), "np": np}


def failures(tests: list[doctest.DocTest]) -> str:
    """The report of the examples that fail; empty if none does."""
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    report = io.StringIO()
    for test in tests:
        runner.run(test, out=report.write)
    return report.getvalue()


@pytest.mark.parametrize(
    "module", [m for m in modules() if ">>> " in m.path.read_text("utf-8")], ids=lambda m: m.name
)
def test_docstring_examples(module: Module) -> None:
    """The examples of a module run one after the other, each docstring in its own namespace."""
    imported = imported_or_skip(module.name)
    tests = doctest.DocTestFinder(exclude_empty=True).find(imported, extraglobs=names())
    assert sum(len(test.examples) for test in tests) > 0
    if report := failures(tests):
        pytest.fail(report, pytrace=False)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_document_examples(path: Path) -> None:
    """The examples of a document share one namespace, from top to bottom."""
    text = path.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, names(), path.name, str(path), 0)
    if report := failures([test]):
        pytest.fail(report, pytrace=False)


def test_a_wrong_example_is_reported() -> None:
    """The check can fail."""
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "planted", "planted.md", 0)
    assert "Expected:\n    3\nGot:\n    2" in failures([test])
