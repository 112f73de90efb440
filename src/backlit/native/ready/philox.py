"""Philox4x64-10 (Salmon et al., 2011) in native code: the same numbers as in NumPy source.

Block k of a stream is four words, a function of k and the seed alone; so any part of the stream can
be made at once, and several parts at the same time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from backlit.native.kernels.kernelbody import for_range

CHUNK = 4096  # elements, four for each block
_I64 = ir.IntType(64)
_I128 = ir.IntType(128)
_PTR = ir.PointerType()
_ROUNDS = 10
_FACTORS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_FLOATS = {"float32": (ir.FloatType(), 40, 2.0**-24), "float64": (ir.DoubleType(), 11, 2.0**-53)}


def names() -> list[str]:
    """The bodies that `module_text` can define."""
    return [f"{d}_uniform" for d in _FLOATS]


def module_text(name: str) -> str:
    """The module of a body, `void body(ptr context, i64 i)`, context {seed, offset, out, n}.

    seed is the address of 128 bits, offset that of the number of the first block; chunk i makes
    4096 of the n numbers in [0, 1).
    """
    module = ir.Module("philox")
    _uniform(module, name.removesuffix("_uniform"))
    return str(module)


def _uniform(module: Any, dtype: str) -> None:
    kind, shift, unit = _FLOATS[dtype]
    signature = ir.FunctionType(ir.VoidType(), [_PTR, _I64])
    function = ir.Function(module, signature, f"{dtype}_uniform")
    b = ir.IRBuilder(function.append_basic_block("entry"))

    def word(pointer: Any, k: int, kind: Any = _I64) -> Any:
        return b.load(b.gep(pointer, [_I64(k)], source_etype=_I64), typ=kind)

    context, chunk = function.args
    seed, offset = word(context, 0, _PTR), word(word(context, 1, _PTR), 0)
    out, count = word(context, 2, _PTR), word(context, 3)
    keys = (word(seed, 0), word(seed, 1))
    begin = b.mul(chunk, _I64(CHUNK))
    end = b.add(begin, _I64(CHUNK))
    end = b.select(b.icmp_signed("<", end, count), end, count)

    def numbers(at: Any) -> list[Any]:
        """Those of two blocks, of which each alone would leave the multiplier waiting."""
        first = b.add(offset, b.lshr(at, _I64(2)))
        words = _blocks(b, [first, b.add(first, _I64(1))], keys)
        return [b.fmul(b.uitofp(b.lshr(w, _I64(shift)), kind), kind(unit)) for w in words]

    def eight(at: Any, _: list[Any]) -> list[Any]:
        found, places = numbers(at), [b.add(at, _I64(k)) for k in range(8)]
        with b.if_else(b.icmp_signed("<", places[-1], end)) as (whole, part):
            with whole:
                for place, number in zip(places, found, strict=True):
                    b.store(number, b.gep(out, [place], source_etype=kind))
            with part:
                for place, number in zip(places, found, strict=True):
                    with b.if_then(b.icmp_signed("<", place, end)):
                        b.store(number, b.gep(out, [place], source_etype=kind))
        return []

    for_range(b, begin, b.add(end, _I64(7)), 8, [], eight)
    b.ret_void()


def _blocks(b: Any, counters: list[Any], keys: tuple[Any, Any]) -> list[Any]:
    """The words of the blocks, four of each, round by round for all."""
    blocks = [[counter, _I64(0), _I64(0), _I64(0)] for counter in counters]
    for turn in range(_ROUNDS):
        key = [
            b.add(k, _I64(turn * s & (1 << 64) - 1)) for k, s in zip(keys, _KEY_STEPS, strict=True)
        ]
        for block, words in enumerate(blocks):
            (high0, low0), (high1, low1) = (
                _product(b, words[2 * k], factor) for k, factor in enumerate(_FACTORS)
            )
            blocks[block] = [
                b.xor(b.xor(high1, words[1]), key[0]), low1,
                b.xor(b.xor(high0, words[3]), key[1]), low0,
            ]  # fmt: skip
    return [word for words in blocks for word in words]


def _product(b: Any, x: Any, factor: int) -> tuple[Any, Any]:
    """High and low half of a 128-bit product."""
    product = b.mul(b.zext(x, _I128), _I128(factor))
    return b.trunc(b.lshr(product, _I128(64)), _I64), b.trunc(product, _I64)
