"""The tables that the native loop runs: words for entries, and where their operands lie.

A table is built word by word, then frozen into memory (`Table.freeze`) as a `Segment`, which the
loop of `runtime.py` runs in one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlit.core.value import Constant, Input, Scalar, Value
from backlit.native.runtime import COMPLETED, DOUBLE, LONG, SINGLE, WHOLE
from backlit.native.steps import Ref, Step

_KINDS = {"float32": SINGLE, "float64": DOUBLE, "int64": WHOLE}


@dataclass
class Segment:
    """Consecutive native entries, run by one call."""

    head: Any  # the words that say where the parts of its table are
    address: int
    steps: list[Step]


@dataclass
class Places:
    """Where the values of a program are.

    Attributes:
        arena: the bytes that temporaries share.
        offsets: value id → its first byte in the arena.
        out_index: value id → its place in the list of arrays out.
        keep: what the tables point to, to be kept alive as long as they.
        numbers_read: the numbers that native code reads.
    """

    arena: Any
    offsets: Mapping[int, int]
    out_index: Mapping[int, int]
    keep: list[Any] = field(default_factory=list)
    numbers_read: set[int] = field(default_factory=set)


class Table:
    """A table under construction; addresses within it are resolved when it is frozen."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.words: list[int] = []
        self.entries: list[tuple[int, int]] = []  # function, word of its arguments
        self._steps: list[Step] = []
        self._inner: list[tuple[int, int]] = []  # words that hold the addresses of other words
        self._patches: list[tuple[int, int, int, int]] = []  # list, index, word to fill, bytes
        self._numbers: dict[tuple[int, int], tuple[int, Any, int]] = {}

    def add(self, *words: int) -> int:
        """Append words; returns the position of the first."""
        position = len(self.words)
        self.words += words
        return position

    def point(self, word: int, target: int) -> None:
        """``word`` will hold the address of the word ``target``."""
        self._inner.append((word, target))

    def call(self, function: int, arguments: int, step: Step) -> None:
        """Append an entry: a call of ``function`` with the address of the word ``arguments``."""
        self.entries.append((function, arguments))
        self._steps.append(step)

    def address(self, operand: Value | Ref) -> int:
        """A word that holds (or will hold) the address of an operand's data."""
        ref_offset = operand.offset if isinstance(operand, Ref) else 0
        v = operand.value if isinstance(operand, Ref) else operand
        skip = ref_offset * v.dtype.itemsize
        if isinstance(v, Input):
            self._patches.append((0, v.index, len(self.words), skip))
            return self.add(0)
        if isinstance(v, Scalar):
            return self.number(v, _KINDS[v.dtype.name])
        if isinstance(v, Constant):
            array = np.ascontiguousarray(v.array, v.dtype.numpy)
            self.places.keep.append(array)
            return self.add(array.ctypes.data + skip)
        if v.id in self.places.out_index:
            self._patches.append((1, self.places.out_index[v.id], len(self.words), skip))
            return self.add(0)
        return self.add(self.places.arena.ctypes.data + self.places.offsets[v.id] + skip)

    def number(self, v: Scalar | Constant, kind: int) -> int:
        """A word with the address of a cell that will hold a number, stored as ``kind``."""
        if isinstance(v, Constant):
            known = int(v.array).to_bytes(16, "little", signed=int(v.array) < 0)
            words = np.frombuffer(known, np.int64).copy()
            self.places.keep.append(words)
            return self.add(words.ctypes.data)
        found = self._numbers.get((v.index, kind))
        if found is None:
            cell = np.zeros(2 if kind == LONG else 1, np.int64)
            self.places.numbers_read.add(v.index)
            self.places.keep.append(cell)
            found = self._numbers[v.index, kind] = (v.index, cell, kind)
        return self.add(found[1].ctypes.data)

    def freeze(self) -> Segment:
        """Lay the table out in memory and resolve addresses within it."""
        numbers = list(self._numbers.values())
        patch_at = len(self.words)
        number_at = patch_at + 4 * len(self._patches)
        entry_at = number_at + 3 * len(numbers)
        head_at = entry_at + 2 * len(self.entries)
        words = np.zeros(head_at + COMPLETED + 1, np.int64)
        base = words.ctypes.data
        words[:patch_at] = self.words
        for word, target in self._inner:
            words[word] = base + 8 * target
        for i, (which, index, word, skip) in enumerate(self._patches):
            words[patch_at + 4 * i : patch_at + 4 * i + 4] = (which, index, base + 8 * word, skip)
        for i, (index, cell, kind) in enumerate(numbers):
            words[number_at + 3 * i : number_at + 3 * i + 3] = (index, cell.ctypes.data, kind)
        for i, (function, at) in enumerate(self.entries):
            words[entry_at + 2 * i : entry_at + 2 * i + 2] = (function, base + 8 * at)
        words[head_at : head_at + COMPLETED] = (
            base + 8 * patch_at, len(self._patches), base + 8 * number_at, len(numbers),
            base + 8 * entry_at, len(self.entries),
        )  # fmt: skip
        self.places.keep.append(words)
        return Segment(words[head_at:], base + 8 * head_at, self._steps)
