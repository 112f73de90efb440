"""Rows and elements addressed by whole numbers, as entries of the native loop.

Every entry checks its indices before it uses them, and returns 1 where one is out of range. Sums go
in the order of the indices, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vector import declare

SIZES = (1, 2, 4, 8)  # bytes of an element
_I64 = ir.IntType(64)
_PTR = ir.PointerType()
_FLOATS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}

Body = Callable[["_Entry"], None]


class _Entry:
    """An entry under construction: its words by name, and what its bodies need."""

    def __init__(self, module: Any, name: str, words: str, element: Any, size: int) -> None:
        self.function = ir.Function(module, ir.FunctionType(_I64, [_PTR]), name)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.element = element
        self.size = size
        self.words: dict[str, Any] = {}
        for k, word in enumerate(words.split()):
            at = self.b.gep(self.function.args[0], [_I64(k)], source_etype=_I64)
            kind = _PTR if word in ("x", "index", "new", "out") else _I64
            self.words[word] = self.b.load(at, typ=kind)
        self.refused = self.function.append_basic_block("refused")
        with self.b.goto_block(self.refused):
            self.b.ret(_I64(1))

    def __getitem__(self, word: str) -> Any:
        return self.words[word]

    def at(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.element)

    def load(self, pointer: Any, index: Any) -> Any:
        return self.b.load(self.at(pointer, index), typ=self.element)

    def index(self, place: Any) -> Any:
        """Index number ``place``, checked."""
        b = self.b
        found = b.load(b.gep(self["index"], [place], source_etype=_I64), typ=_I64)
        fine = b.append_basic_block("fine")
        b.cbranch(b.icmp_unsigned("<", found, self["limit"]), fine, self.refused)
        b.position_at_end(fine)
        return found

    def each(self, count: Any, body: Callable[[Any], None]) -> None:
        """``body(i)`` for i below ``count``."""

        def one(i: Any, _: list[Any]) -> list[Any]:
            body(i)
            return []

        for_range(self.b, _I64(0), count, 1, [], one)

    def copy(self, source: Any, target: Any, count: Any) -> None:
        """``count`` elements that lie in order."""
        b = self.b
        move = declare(
            b.module, "llvm.memcpy.p0.p0.i64", ir.VoidType(), [_PTR, _PTR, _I64, ir.IntType(1)]
        )
        b.call(move, [target, source, b.mul(count, _I64(self.size)), ir.IntType(1)(0)])

    def clear(self, target: Any, count: Any) -> None:
        """Zeros."""
        b = self.b
        clear = declare(
            b.module,
            "llvm.memset.p0.i64",
            ir.VoidType(),
            [_PTR, ir.IntType(8), _I64, ir.IntType(1)],
        )
        size = b.mul(count, _I64(self.size))
        b.call(clear, [target, ir.IntType(8)(0), size, ir.IntType(1)(0)])

    def add(self, source: Any, target: Any, count: Any) -> None:
        """target[k] += source[k]."""

        def one(k: Any) -> None:
            total = self.b.fadd(self.load(target, k), self.load(source, k))
            self.b.store(total, self.at(target, k))

        self.each(count, one)


def _take(e: _Entry) -> None:
    """out[o, i, :] = x[o, index[i], :]."""
    b = e.b

    def matrix(o: Any) -> None:
        def row(i: Any) -> None:
            place = b.add(b.mul(o, e["limit"]), e.index(i))
            source = e.at(e["x"], b.mul(place, e["inner"]))
            target = e.at(e["out"], b.mul(b.add(b.mul(o, e["count"]), i), e["inner"]))
            e.copy(source, target, e["inner"])

        e.each(e["count"], row)

    e.each(e["outer"], matrix)


def _write_rows(e: _Entry, write: Callable[[Any, Any, Any], None]) -> None:
    """out[o, index[i], :] is written with, or has added, x[o, i, :]."""
    b = e.b

    def matrix(o: Any) -> None:
        def row(i: Any) -> None:
            place = b.add(b.mul(o, e["limit"]), e.index(i))
            source = e.at(e["new"], b.mul(b.add(b.mul(o, e["count"]), i), e["inner"]))
            write(source, e.at(e["out"], b.mul(place, e["inner"])), e["inner"])

        e.each(e["count"], row)

    e.each(e["outer"], matrix)


def _base(e: _Entry) -> None:
    size = e.b.mul(e.b.mul(e["outer"], e["limit"]), e["inner"])
    e.copy(e["x"], e["out"], size)


def _put_rows(e: _Entry) -> None:
    _base(e)
    _write_rows(e, e.copy)


def _add_rows(e: _Entry) -> None:
    _base(e)
    _write_rows(e, e.add)


def _sum_rows(e: _Entry) -> None:
    e.clear(e["out"], e.b.mul(e["limit"], e["inner"]))
    _write_rows(e, e.add)


def _each_element(e: _Entry, body: Callable[[Any, Any], None]) -> None:
    """body(place in the index, place in the array) for the elements of index (outer, n, inner)."""
    b = e.b

    def matrix(o: Any) -> None:
        def row(i: Any) -> None:
            def element(k: Any) -> None:
                place = b.add(b.mul(b.add(b.mul(o, e["count"]), i), e["inner"]), k)
                along = b.add(b.mul(o, e["limit"]), e.index(place))
                body(place, b.add(b.mul(along, e["inner"]), k))

            e.each(e["inner"], element)

        e.each(e["count"], row)

    e.each(e["outer"], matrix)


def _gather(e: _Entry) -> None:
    """out[o, i, k] = x[o, index[o, i, k], k]."""
    _each_element(e, lambda p, q: _set(e, e["out"], p, e.load(e["x"], q)))


def _scatter_set(e: _Entry) -> None:
    _base(e)
    _each_element(e, lambda p, q: _set(e, e["out"], q, e.load(e["new"], p)))


def _scatter_sum(e: _Entry) -> None:
    _base(e)

    def add(p: Any, q: Any) -> None:
        _set(e, e["out"], q, e.b.fadd(e.load(e["out"], q), e.load(e["new"], p)))

    _each_element(e, add)


def _set(e: _Entry, pointer: Any, index: Any, value: Any) -> None:
    e.b.store(value, e.at(pointer, index))


def _cumulate(e: _Entry) -> None:
    """out[o, i, :] = out[o, i - 1, :] + x[o, i, :]."""
    b = e.b

    def matrix(o: Any) -> None:
        first = b.mul(b.mul(o, e["count"]), e["inner"])
        e.copy(e.at(e["x"], first), e.at(e["out"], first), e["inner"])

        def row(i: Any) -> None:
            before = b.add(first, b.mul(i, e["inner"]))

            def element(k: Any) -> None:
                last = b.add(before, k)
                here = b.add(last, e["inner"])
                _set(e, e["out"], here, b.fadd(e.load(e["out"], last), e.load(e["x"], here)))

            e.each(e["inner"], element)

        e.each(b.sub(e["count"], _I64(1)), row)

    e.each(e["outer"], matrix)


_READ = "x index out outer count limit inner"
_WRITE = "x index new out outer count limit inner"
_MOVES: dict[str, tuple[str, Body]] = {  # of elements of any kind
    "take": (_READ, _take),
    "gather": (_READ, _gather),
    "put_rows": (_WRITE, _put_rows),
    "scatter_set": (_WRITE, _scatter_set),
}
_SUMS: dict[str, tuple[str, Body]] = {  # of floats
    "sum_rows": ("new index out outer count limit inner", _sum_rows),
    "add_rows": (_WRITE, _add_rows),
    "scatter_sum": (_WRITE, _scatter_sum),
    "cumsum": ("x out outer count inner", _cumulate),
}


def names() -> list[str]:
    """The entries that `module_text` can define."""
    return [f"{n}{s}" for n in _MOVES for s in SIZES] + [f"{d}_{n}" for n in _SUMS for d in _FLOATS]


def module_text(name: str) -> str:
    """The module of an entry: `i64 entry(ptr words)`, 1 where an index is out of range, else 0.

    words: the addresses of x, index, new and out, as far as there are such, then the sizes: x and
    out have shape (outer, limit, inner), or, along what is indexed, count; inner elements lie
    together.
    """
    module = ir.Module("indexed")
    dtype, _, rest = name.partition("_")
    if dtype in _FLOATS:
        words, body = _SUMS[rest]
        entry = _Entry(module, name, words, _FLOATS[dtype], 4 if dtype == "float32" else 8)
    else:
        size = int(name[-1])
        words, body = _MOVES[name[:-1]]
        entry = _Entry(module, name, words, ir.IntType(8 * size), size)
    body(entry)
    entry.b.ret(_I64(0))
    return str(module)
