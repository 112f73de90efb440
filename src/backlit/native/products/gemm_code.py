"""What generated products are written with: loops, addresses, and vectors of a few lanes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range
from backlit.native.kernels.vector import declare
from backlit.native.machine import jit

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
PTR = ir.PointerType()
VOID = ir.VoidType()
_FLUSH = 1 << 15 | 1 << 6  # of MXCSR: denormal results become zeros, and so do denormal operands


class _Callee:
    """The code at an address, as llvmlite wants what it calls."""

    type = PTR

    def __init__(self, address: Any, kind: Any) -> None:
        self.get_reference = address.get_reference
        self.function_type = kind


class Code:
    """A module under construction, and the builder of one function of it."""

    def __init__(self, name: str) -> None:
        self.module = ir.Module(name)
        self.b: Any = None
        self.modes: Any = None  # where the words that say what to do with denormals are

    def function(self, name: str, kind: Any, internal: bool = False) -> Any:
        """A new function; the builder moves into it."""
        made = ir.Function(self.module, kind, name)
        if internal:
            made.linkage = "internal"
        self.b = ir.IRBuilder(made.append_basic_block("entry"))
        return made

    def call(self, address: Any, kind: Any, arguments: list[Any]) -> Any:
        """Call the code at an address."""
        return self.b.call(_Callee(address, kind), arguments)

    @contextlib.contextmanager
    def flushing(self) -> Iterator[None]:
        """Denormals are taken for zeros: on x86, each would cost a multiply-add 150 cycles.

        Gradients that vanish over many layers or time steps are full of them for a while.
        """
        if not jit.host().triple.startswith(("x86_64", "i686")):
            yield
            return
        b = self.b
        self.modes = found, wanted = b.alloca(I32), b.alloca(I32)
        b.call(self._control("stmxcsr"), [found])
        b.store(b.or_(b.load(found, typ=I32), I32(_FLUSH)), wanted)
        with self._mode(wanted, found):
            yield
        self.modes = None

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Denormals are denormals, within `flushing`."""
        if self.modes is None:
            yield
            return
        with self._mode(*self.modes):
            yield

    @contextlib.contextmanager
    def _mode(self, inside: Any, after: Any) -> Iterator[None]:
        self.b.call(self._control("ldmxcsr"), [inside])
        yield
        self.b.call(self._control("ldmxcsr"), [after])

    def _control(self, name: str) -> Any:
        return declare(self.module, f"llvm.x86.sse.{name}", VOID, [PTR])

    # -- loops and whole numbers -----------------------------------------------------------------
    def loop(self, start: Any, stop: Any, step: Any, body: Callable[[Any], None]) -> Any:
        """body(i) for i = start, start + step … while i + step ≤ stop; the i after the last."""

        def turn(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        index, _ = for_range(self.b, start, stop, step, [], turn)
        return index

    def parts(self, start: Any, stop: Any, size: Any, body: Callable[[Any], None]) -> None:
        """body(i) for i = start, start + size … while i < stop."""
        beyond = self.b.add(stop, self.b.sub(size, I64(1)))
        self.loop(start, beyond, size, body)

    def sum(self, x: Any, x_factor: Any, y: Any, y_factor: Any) -> Any:
        return self.b.add(self.b.mul(x, x_factor), self.b.mul(y, y_factor))

    def least(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    # -- memory ----------------------------------------------------------------------------------
    def word(self, pointer: Any, index: int, kind: Any = I64) -> Any:
        """The 8-byte word of that index."""
        return self.b.load(self.b.gep(pointer, [I64(index)], source_etype=I64), typ=kind)

    def bytes(self, pointer: Any, count: Any) -> Any:
        """The address so many bytes further."""
        return self.b.gep(pointer, [count], source_etype=I8)

    def claim(self, address: Any) -> None:
        """Bring the line of an address, which need not exist, into the cache for writing."""
        function = declare(self.module, "llvm.prefetch.p0", VOID, [PTR, I32, I32, I32])
        self.b.call(function, [address, I32(1), I32(3), I32(1)])


class _Text(ir.Constant):  # type: ignore[misc]  # llvmlite publishes no types
    """A constant whose text is made once, or is a short form of what llvmlite would write."""

    def __init__(self, constant: Any, text: str = "") -> None:
        super().__init__(constant.type, constant.constant)
        self.text = text or constant.get_reference()

    def _get_reference(self) -> str:
        return self.text


class VectorCode(Code):
    """A module that works on vectors of `width` lanes of a dtype."""

    def __init__(self, name: str, dtype: str, width: int) -> None:
        super().__init__(name)
        self.width = width
        self.item = 4 if dtype == "float32" else 8
        self.scalar = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, width)
        self.zero = _Text(ir.Constant(self.vector, None), "zeroinitializer")
        self.nothing = _Text(self.zero, "poison")
        self.suffix = f"v{width}f{8 * self.item}"
        self.all_first = self.lanes([0] * width)

    def offset(self, pointer: Any, index: Any) -> Any:
        """The address so many elements further."""
        return self.b.gep(pointer, [index], source_etype=self.scalar)

    def at(self, pointer: Any, index: int) -> Any:
        return self.offset(pointer, I64(index)) if index else pointer

    def load(self, address: Any, mask: Any = None) -> Any:
        """A vector; under a mask, lanes that are not read are zero."""
        if mask is None:
            return self.b.load(address, align=self.item, typ=self.vector)
        name = f"llvm.masked.load.{self.suffix}.p0"
        function = declare(self.module, name, self.vector, [PTR, I32, mask.type, self.vector])
        return self.b.call(function, [address, I32(self.item), mask, self.zero])

    def store(self, value: Any, address: Any, mask: Any = None) -> None:
        """Write a vector, or the lanes of a mask."""
        if mask is None:
            self.b.store(value, address, align=self.item)
            return
        name = f"llvm.masked.store.{self.suffix}.p0"
        function = declare(self.module, name, VOID, [self.vector, PTR, I32, mask.type])
        self.b.call(function, [value, address, I32(self.item), mask])

    def first(self, count: Any) -> Any:
        """The mask of the first lanes; all of them, and none, are possible, too."""
        return self.mask(self.bits(count))

    def bits(self, count: Any) -> Any:
        """A word with a bit for each of the first lanes."""
        return self.b.sub(self.b.shl(I64(1), self.least(count, I64(self.width))), I64(1))

    def mask(self, bits: Any) -> Any:
        """The mask of the lanes whose bits are set in a word."""
        lowest = self.b.trunc(bits, ir.IntType(self.width))
        return self.b.bitcast(lowest, ir.VectorType(I1, self.width))

    def lanes(self, numbers: list[int]) -> Any:
        """Which lanes a shuffle takes."""
        return _Text(ir.Constant(ir.VectorType(I32, self.width), numbers))

    def splat(self, value: Any) -> Any:
        first = self.b.insert_element(self.nothing, value, I32(0))
        return self.b.shuffle_vector(first, self.nothing, self.all_first)
