"""The glossary covers the decks' mentions, in order, and refers to what exists (rows of kind M)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import backlit

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^- \*\*(.+?)\.\*\*", TEXT, re.MULTILINE)
MENTIONS = {
    "P16": ["Kernel SVM", "Feature function Φ"],
    "P19": ["Turing machine"],
    "P20": ["Biological neuron", "dendrites", "axon", "maps of the brain"],
    "F26": ["Fully-connected network, multilayer perceptron (MLP)", "Feed-forward network"],
    "F27": ["Recurrent network (RNN)"],
    "F28": ["Deep architecture", "Convolutional network"],
    "A14": ["Neural network framework", "TensorFlow"],
}


@pytest.mark.parametrize("row", MENTIONS)
def test_mentions(row: str) -> None:
    """Each thing that a deck mentions has its line."""
    flat = " ".join(TEXT.split())
    assert [term for term in MENTIONS[row] if term not in flat] == []


def test_order() -> None:
    """A reader finds a term by its first letter; no term comes twice."""
    assert sorted(set(ENTRIES), key=str.lower) == ENTRIES


def test_references() -> None:
    """Names in code style exist in the package; references in italics are entries."""
    for name in re.findall(r"`(\w+)\.(\w+)`", TEXT):
        assert hasattr(getattr(backlit, name[0]), name[1]), name
    for term in re.findall(r"[Ss]ee \*(.+?)\*", " ".join(TEXT.split())):
        assert any(entry.startswith(term) for entry in ENTRIES), term
