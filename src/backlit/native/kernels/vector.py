"""Vectors of lanes under an LLVM builder, written like arithmetic.

`Lanes` says how many lanes of which float type a kernel works on; `Vec` is one SSA value of that
width. A `Vec` holds floats, integers of the same bit width, or a mask, and its operators emit the
matching instruction at the builder's current position, so that a formula reads as in a book:

    y = (x * x).fma(p, x)          # x + p x²
    y = (x < 0).select(nan, y)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

Number = int | float


_I32 = ir.IntType(32)
_NUMBERS = [ir.Constant(_I32, number) for number in range(256)]


class _Written(ir.Constant):  # type: ignore[misc]  # llvmlite publishes no types
    """A constant vector as LLVM reads it: to write each lane by itself would take far longer."""

    def __init__(self, vector_type: Any, text: str, lanes: Any = None) -> None:
        self.type = vector_type
        self.constant = lanes
        self.text = text

    def _get_reference(self) -> str:
        return self.text


def lane_numbers(numbers: Iterable[int]) -> Any:
    """A constant vector of whole numbers below 256, such as the lanes that a shuffle takes.

    >>> str(lane_numbers([1, 0]))
    '<2 x i32> <i32 1, i32 0>'
    """
    lanes = [_NUMBERS[number] for number in numbers]
    text = ", ".join([f"i32 {lane.constant}" for lane in lanes])
    return _Written(ir.VectorType(_I32, len(lanes)), f"<{text}>", lanes)


@dataclass(frozen=True)
class FloatFormat:
    """The layout of an IEEE type."""

    name: str
    bits: int
    mantissa: int  # stored bits
    bias: int
    suffix: str  # in names of LLVM intrinsics
    round_magic: float  # adding it rounds to an integer, held in the low bits
    tiny: float  # smallest normal number

    @property
    def sign_bit(self) -> int:
        return -(1 << (self.bits - 1))


FORMATS = {
    "float32": FloatFormat("float32", 32, 23, 127, "f32", 1.5 * 2.0**23, 2.0**-126),
    "float64": FloatFormat("float64", 64, 52, 1023, "f64", 1.5 * 2.0**52, 2.0**-1022),
}


@dataclass(frozen=True)
class Lanes:
    """W lanes of float32 or float64, emitted through one IRBuilder.

    Args:
        builder: llvmlite's IRBuilder, positioned where instructions should go.
        dtype: "float32" or "float64".
        width: number of lanes W.
        scale_instruction: whether the CPU scales vectors by powers of two in one instruction
            (AVX-512's vscalef); LLVM's `ldexp` is then used, which elsewhere calls libm.

    >>> module = ir.Module()
    >>> function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "f")
    >>> lanes = Lanes(ir.IRBuilder(function.append_basic_block()), "float32", 4)
    >>> lanes.const(0.5).ir.get_reference()
    'splat (float 0x3FE0000000000000)'
    """

    builder: Any
    dtype: str
    width: int
    scale_instruction: bool = False

    @property
    def format(self) -> FloatFormat:
        return FORMATS[self.dtype]

    @property
    def float_type(self) -> Any:
        scalar = ir.FloatType() if self.dtype == "float32" else ir.DoubleType()
        return ir.VectorType(scalar, self.width)

    @property
    def int_type(self) -> Any:
        return ir.VectorType(ir.IntType(self.format.bits), self.width)

    def with_dtype(self, dtype: str) -> Lanes:
        return Lanes(self.builder, dtype, self.width, self.scale_instruction)

    def const(self, value: Number) -> Vec:
        """A float constant in all lanes, rounded to the lanes' dtype."""
        rounded = float(np.dtype(self.dtype).type(value))
        (bits,) = struct.unpack("<Q", struct.pack("<d", rounded))
        kind = "float" if self.dtype == "float32" else "double"
        return Vec(self, _Written(self.float_type, f"splat ({kind} 0x{bits:016X})"))

    def int_const(self, value: int) -> Vec:
        """An integer constant in all lanes."""
        text = f"splat (i{self.format.bits} {int(value)})"
        return Vec(self, _Written(self.int_type, text))

    def wrap(self, value: Any) -> Vec:
        """An existing SSA vector as a Vec."""
        return Vec(self, value)

    def pow2(self, exponent: Vec) -> Vec:
        """2ⁿ for an integer vector n in the normal range."""
        shift = self.format.mantissa
        return ((exponent + self.format.bias) << shift).as_float()

    def intrinsic(self, name: str, *args: Vec) -> Vec:
        """A call of `llvm.<name>` whose operands and result are all of the first operand's type."""
        vector_type = args[0].ir.type
        full = f"llvm.{name}.v{self.width}{self.format.suffix}"
        function = declare(self.builder.module, full, vector_type, [a.ir.type for a in args])
        return Vec(self, self.builder.call(function, [a.ir for a in args]))


def declare(module: Any, name: str, returns: Any, arguments: list[Any]) -> Any:
    """The function `name` of the module, declared at first use."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(returns, arguments), name)


class Vec:
    """One vector value. Arithmetic with Python numbers splats them.

    Comparisons are ordered (false on NaN) except `!=`, which is true on NaN, as in IEEE 754.
    """

    __slots__ = ("ir", "lanes")

    __hash__ = None  # type: ignore[assignment]  # == builds a mask, so a Vec cannot be a key

    def __init__(self, lanes: Lanes, value: Any) -> None:
        self.lanes = lanes
        self.ir = value

    # -- kinds -----------------------------------------------------------------------------------
    @property
    def is_float(self) -> bool:
        return not isinstance(self.ir.type.element, ir.IntType)

    def _operand(self, other: Vec | Number) -> Any:
        if isinstance(other, Vec):
            return other.ir
        if self.is_float:
            return self.lanes.const(other).ir
        return self.lanes.int_const(int(other)).ir

    def _emit(self, float_op: str, int_op: str, left: Any, right: Any) -> Vec:
        op = float_op if self.is_float else int_op
        return Vec(self.lanes, getattr(self.lanes.builder, op)(left, right))

    # -- arithmetic ------------------------------------------------------------------------------
    def __add__(self, other: Vec | Number) -> Vec:
        return self._emit("fadd", "add", self.ir, self._operand(other))

    __radd__ = __add__

    def __sub__(self, other: Vec | Number) -> Vec:
        return self._emit("fsub", "sub", self.ir, self._operand(other))

    def __rsub__(self, other: Number) -> Vec:
        return self._emit("fsub", "sub", self._operand(other), self.ir)

    def __mul__(self, other: Vec | Number) -> Vec:
        return self._emit("fmul", "mul", self.ir, self._operand(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Vec | Number) -> Vec:
        return Vec(self.lanes, self.lanes.builder.fdiv(self.ir, self._operand(other)))

    def __rtruediv__(self, other: Number) -> Vec:
        return Vec(self.lanes, self.lanes.builder.fdiv(self._operand(other), self.ir))

    def __neg__(self) -> Vec:
        builder = self.lanes.builder
        return Vec(self.lanes, builder.fneg(self.ir) if self.is_float else builder.neg(self.ir))

    # -- bits ------------------------------------------------------------------------------------
    def __and__(self, other: Vec | int) -> Vec:
        return Vec(self.lanes, self.lanes.builder.and_(self.ir, self._operand(other)))

    def __or__(self, other: Vec | int) -> Vec:
        return Vec(self.lanes, self.lanes.builder.or_(self.ir, self._operand(other)))

    def __xor__(self, other: Vec | int) -> Vec:
        return Vec(self.lanes, self.lanes.builder.xor(self.ir, self._operand(other)))

    def __invert__(self) -> Vec:
        return Vec(self.lanes, self.lanes.builder.not_(self.ir))

    def __lshift__(self, count: int) -> Vec:
        return Vec(self.lanes, self.lanes.builder.shl(self.ir, self._operand(count)))

    def __rshift__(self, count: int) -> Vec:
        """Arithmetic shift: the sign is kept."""
        return Vec(self.lanes, self.lanes.builder.ashr(self.ir, self._operand(count)))

    # -- comparisons -----------------------------------------------------------------------------
    def _compare(self, symbol: str, other: Vec | Number) -> Vec:
        builder, right = self.lanes.builder, self._operand(other)
        if not self.is_float:
            return Vec(self.lanes, builder.icmp_signed(symbol, self.ir, right))
        compare = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
        return Vec(self.lanes, compare(symbol, self.ir, right))

    def __lt__(self, other: Vec | Number) -> Vec:
        return self._compare("<", other)

    def __le__(self, other: Vec | Number) -> Vec:
        return self._compare("<=", other)

    def __gt__(self, other: Vec | Number) -> Vec:
        return self._compare(">", other)

    def __ge__(self, other: Vec | Number) -> Vec:
        return self._compare(">=", other)

    def __eq__(self, other: Vec | Number) -> Vec:  # type: ignore[override]  # builds a mask
        return self._compare("==", other)

    def __ne__(self, other: Vec | Number) -> Vec:  # type: ignore[override]  # builds a mask
        return self._compare("!=", other)

    def differs_from(self, other: Vec) -> Vec:
        """Where both are numbers, and not equal."""
        return Vec(self.lanes, self.lanes.builder.fcmp_ordered("!=", self.ir, other.ir))

    def is_nan(self) -> Vec:
        return self != self

    def select(self, yes: Vec | Number, no: Vec | Number) -> Vec:
        """Lane by lane, `yes` where this mask is set, else `no`; numbers become floats."""
        left = yes.ir if isinstance(yes, Vec) else self.lanes.const(yes).ir
        right = no.ir if isinstance(no, Vec) else self.lanes.const(no).ir
        lanes = yes.lanes if isinstance(yes, Vec) else self.lanes
        return Vec(lanes, self.lanes.builder.select(self.ir, left, right))

    def any(self) -> Any:
        """A scalar i1: whether any lane of this mask is set."""
        builder, width = self.lanes.builder, self.lanes.width
        reduce = declare(
            builder.module, f"llvm.vector.reduce.or.v{width}i1", ir.IntType(1), [self.ir.type]
        )
        return builder.call(reduce, [self.ir])

    # -- conversions -----------------------------------------------------------------------------
    def bits(self) -> Vec:
        """The same bits as integers."""
        return Vec(self.lanes, self.lanes.builder.bitcast(self.ir, self.lanes.int_type))

    def as_float(self) -> Vec:
        """The same bits as floats."""
        return Vec(self.lanes, self.lanes.builder.bitcast(self.ir, self.lanes.float_type))

    def to_float(self) -> Vec:
        """Integers converted to floats."""
        return Vec(self.lanes, self.lanes.builder.sitofp(self.ir, self.lanes.float_type))

    def to_dtype(self, dtype: str) -> Vec:
        """Floats converted to another float dtype, correctly rounded."""
        if dtype == self.lanes.dtype:
            return self
        lanes, builder = self.lanes.with_dtype(dtype), self.lanes.builder
        convert = builder.fpext if dtype == "float64" else builder.fptrunc
        return Vec(lanes, convert(self.ir, lanes.float_type))

    # -- float functions that are instructions ---------------------------------------------------
    def fma(self, factor: Vec | Number, addend: Vec | Number) -> Vec:
        """self · factor + addend, rounded once."""
        operands = [Vec(self.lanes, self._operand(v)) for v in (factor, addend)]
        return self.lanes.intrinsic("fma", self, *operands)

    def abs(self) -> Vec:
        return self.lanes.intrinsic("fabs", self)

    def sqrt(self) -> Vec:
        return self.lanes.intrinsic("sqrt", self)

    def copysign(self, sign: Vec) -> Vec:
        return self.lanes.intrinsic("copysign", self, sign)

    def at_least(self, low: Number) -> Vec:
        """max(self, low); NaN stays."""
        return (self < low).select(low, self)

    def at_most(self, high: Number) -> Vec:
        """min(self, high); NaN stays."""
        return (self > high).select(high, self)

    def scale(self, exponent: Vec, whole: Vec | None = None) -> Vec:
        """self · 2ⁿ for integer lanes n with |n| ≤ 2200 (float64) or 300 (float32), rounded once.

        Without an instruction for it, two factors of half the exponent each: the first product is
        exact and the second rounds, also into the denormals. The instruction takes n as a float;
        ``whole`` is n as such if there is one.
        """
        lanes = self.lanes
        if lanes.scale_instruction and whole is not None and lanes.width * lanes.format.bits == 512:
            return self._scalef(whole)
        if lanes.scale_instruction:
            name = f"llvm.ldexp.v{lanes.width}{lanes.format.suffix}.v{lanes.width}i32"
            count = exponent.ir
            if lanes.format.bits == 64:
                count = lanes.builder.trunc(count, ir.VectorType(ir.IntType(32), lanes.width))
            function = declare(lanes.builder.module, name, self.ir.type, [self.ir.type, count.type])
            return Vec(lanes, lanes.builder.call(function, [self.ir, count]))
        half = exponent >> 1
        return self * lanes.pow2(half) * lanes.pow2(exponent - half)

    def _scalef(self, whole: Vec) -> Vec:
        lanes = self.lanes
        name = "llvm.x86.avx512.mask.scalef." + {32: "ps", 64: "pd"}[lanes.format.bits] + ".512"
        kind, bits, i32 = self.ir.type, ir.IntType(lanes.width), ir.IntType(32)
        function = declare(lanes.builder.module, name, kind, [kind, kind, kind, bits, i32])
        nothing, all_lanes, as_usual = ir.Constant(kind, None), ir.Constant(bits, -1), i32(4)
        operands = [self.ir, whole.ir, nothing, all_lanes, as_usual]
        return Vec(lanes, lanes.builder.call(function, operands))


def poly(x: Vec, coefficients: tuple[float, ...]) -> Vec:
    """c₀ + c₁x + c₂x² + …, by Horner's rule with fused multiply-adds."""
    *rest, last = coefficients
    out = x.lanes.const(last)
    for c in reversed(rest):
        out = out.fma(x, c)
    return out
