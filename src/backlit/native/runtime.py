"""The native loop: one call runs a whole program, a table of (entry, arguments).

Python hands over three lists: arrays in, arrays out, numbers. The loop reads the addresses of the
arrays' data and the numbers straight from the objects, stores them where the kernels look for them,
and then runs entry after entry. Nothing is looked up by name and nothing is allocated.

The object layouts relied on are those of `layout.py`.
"""

from __future__ import annotations

import ctypes
from typing import Any

from backlit.native.inner import install
from backlit.native.machine import jit, layout
from backlit.native.machine.builtin import builtin, interpreter
from backlit.native.machine.once import once
from backlit.native.machine.words import loads
from backlit.native.products import blas

ENTRIES, COUNT, COMPLETED = 4, 5, 6  # words of a table: its entries, how many, completed runs
FAILED = 1 << 32  # added to the number of the entry that refused its operands

SINGLE, DOUBLE, WHOLE, LONG = range(4)
"""What a number is stored as: float32, float64, int64, or 128 bits without a sign."""

# Calls entry %k of %entries.
CALL = """\
  %e = getelementptr {ptr, ptr}, ptr %entries, i64 %k
  %function = load ptr, ptr %e
  %arguments.at = getelementptr ptr, ptr %e, i64 1
  %arguments = load ptr, ptr %arguments.at
  %failed = call i64 %function(ptr %arguments)
  %is.fine = icmp eq i64 %failed, 0
"""
# Counts a completed run of %table.
COUNT_RUN = f"""\
  %completed.at = getelementptr i64, ptr %table, i64 {COMPLETED}
  %completed = load i64, ptr %completed.at
  %completed.next = add i64 %completed, 1
  store i64 %completed.next, ptr %completed.at
"""

# run(inputs, outputs, numbers, table), three lists and the address of a table, returns 0, or says
# which object it cannot use: n > 0 for patch n - 1 (an array that is not contiguous, or an output
# that is read-only), n < 0 for number -n - 1 (not a float, int or bool, or too large), n >= 2**32
# for entry n - 2**32 (an index out of range). Nothing has been written unless it returns 0 or
# n >= 2**32.
# table: {patches, n, numbers, n, entries, n, completed runs}; a patch is {list, index,
# destination, bytes to add}, a number is {index, destination, kind}, an entry is {function,
# arguments}.
_LOOP = f"""
@float_type = external global i8
@int_type = external global i8
@bool_type = external global i8

define i64 @run(ptr %inputs, ptr %outputs, ptr %numbers, ptr %table) {{
start:
  %in.at = getelementptr i8, ptr %inputs, i64 {layout.LIST_ITEMS}
  %in = load ptr, ptr %in.at
  %out.at = getelementptr i8, ptr %outputs, i64 {layout.LIST_ITEMS}
  %out = load ptr, ptr %out.at
  %num.at = getelementptr i8, ptr %numbers, i64 {layout.LIST_ITEMS}
  %num = load ptr, ptr %num.at
{loads("*patches n1 *values n2 *entries n3", "table")}
  br label %patch

patch:
  %i = phi i64 [0, %start], [%i.next, %patch.store]
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i, %n1
  br i1 %i.more, label %patch.one, label %number

patch.one:
  %p = getelementptr {{i64, i64, ptr, i64}}, ptr %patches, i64 %i
  %p.list = load i64, ptr %p
  %p.index.at = getelementptr i64, ptr %p, i64 1
  %p.index = load i64, ptr %p.index.at
  %p.to.at = getelementptr i64, ptr %p, i64 2
  %p.to = load ptr, ptr %p.to.at
  %is.in = icmp eq i64 %p.list, 0
  %items = select i1 %is.in, ptr %in, ptr %out
  %array.at = getelementptr ptr, ptr %items, i64 %p.index
  %array = load ptr, ptr %array.at
  %flags.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_FLAGS}
  %flags = load i32, ptr %flags.at
  %want = select i1 %is.in, i32 {layout.ALIGNED_AND_CONTIGUOUS}, i32 {layout.AND_WRITEABLE}
  %good = and i32 %flags, %want
  %is.good = icmp eq i32 %good, %want
  br i1 %is.good, label %patch.store, label %patch.bad

patch.bad:
  ret i64 %i.next

patch.store:
  %data.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %data = load ptr, ptr %data.at
  %p.skip.at = getelementptr i64, ptr %p, i64 3
  %p.skip = load i64, ptr %p.skip.at
  %first = getelementptr i8, ptr %data, i64 %p.skip
  store ptr %first, ptr %p.to
  br label %patch

number:
  %j = phi i64 [0, %patch], [%j.next, %store.long], [%j.next, %store.whole],
    [%j.next, %store.double], [%j.next, %store.single]
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j, %n2
  br i1 %j.more, label %number.one, label %entry

number.one:
  %v = getelementptr {{i64, ptr, i64}}, ptr %values, i64 %j
  %v.index = load i64, ptr %v
  %v.to.at = getelementptr i64, ptr %v, i64 1
  %v.to = load ptr, ptr %v.to.at
  %v.kind.at = getelementptr i64, ptr %v, i64 2
  %v.kind = load i64, ptr %v.kind.at
  %object.at = getelementptr ptr, ptr %num, i64 %v.index
  %object = load ptr, ptr %object.at
  %type.at = getelementptr i8, ptr %object, i64 {layout.OBJECT_TYPE}
  %type = load ptr, ptr %type.at
  %is.float = icmp eq ptr %type, @float_type
  br i1 %is.float, label %float.read, label %not.float

float.read:
  %value.at = getelementptr i8, ptr %object, i64 {layout.FLOAT_VALUE}
  %float = load double, ptr %value.at
  br label %floating

not.float:
  %is.int = icmp eq ptr %type, @int_type
  %is.bool = icmp eq ptr %type, @bool_type
  %is.whole = or i1 %is.int, %is.bool
  br i1 %is.whole, label %whole.read, label %number.bad

number.bad:
  %minus = sub i64 0, %j.next
  ret i64 %minus

whole.read:
  %size.at = getelementptr i8, ptr %object, i64 {layout.INT_SIZE}
  %size = load i64, ptr %size.at
{layout.SIZE_OF_INT}  %is.long = icmp eq i64 %v.kind, {LONG}
  %most = select i1 %is.long, i64 5, i64 4
  %too.long = icmp ugt i64 %digits, %most
  br i1 %too.long, label %number.bad, label %digit

digit:
  %d = phi i64 [0, %whole.read], [%d.next, %digit.one]
  %sum = phi i128 [0, %whole.read], [%sum.next, %digit.one]
  %d.next = add i64 %d, 1
  %d.more = icmp slt i64 %d, %digits
  br i1 %d.more, label %digit.one, label %whole

digit.one:
  %digit.offset = shl i64 %d, 2
  %digit.from = add i64 %digit.offset, {layout.INT_DIGITS}
  %digit.at = getelementptr i8, ptr %object, i64 %digit.from
  %digit.value = load i32, ptr %digit.at
  %digit.wide = zext i32 %digit.value to i128
  %places = mul i64 %d, 30
  %shift = zext i64 %places to i128
  %shifted = shl i128 %digit.wide, %shift
  %sum.next = or i128 %sum, %shifted
  br label %digit

whole:
  %negated = sub i128 0, %sum
  %signed = select i1 %is.negative, i128 %negated, i128 %sum
  br i1 %is.long, label %store.long, label %whole.short

store.long:
  store i128 %signed, ptr %v.to, align 8
  br label %number

whole.short:
  %low = trunc i128 %signed to i64
  %back = sext i64 %low to i128
  %fits.int = icmp eq i128 %back, %signed
  br i1 %fits.int, label %whole.fits, label %number.bad

whole.fits:
  %is.wanted = icmp eq i64 %v.kind, {WHOLE}
  br i1 %is.wanted, label %store.whole, label %whole.to.float

store.whole:
  store i64 %low, ptr %v.to
  br label %number

whole.to.float:
  %converted = sitofp i64 %low to double
  br label %floating

floating:
  %value = phi double [%float, %float.read], [%converted, %whole.to.float]
  switch i64 %v.kind, label %number.bad [i64 {DOUBLE}, label %store.double
    i64 {SINGLE}, label %store.single]

store.double:
  store double %value, ptr %v.to
  br label %number

store.single:
  %short = fptrunc double %value to float
  store float %short, ptr %v.to
  br label %number

entry:
  %k = phi i64 [0, %number], [%k.next, %entry.one]
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k, %n3
  br i1 %k.more, label %entry.one, label %done

entry.one:
{CALL}  br i1 %is.fine, label %entry, label %entry.failed

entry.failed:
  %code = add i64 %k, {FAILED}
  ret i64 %code

done:
{COUNT_RUN}  ret i64 0
}}

; The same for objects of Python, the table being the data of an array.
define ptr @run_objects(ptr %self, ptr %args, i64 %count) {{
{loads("*inputs *outputs *numbers *array", "args")}
  %table.at = getelementptr i8, ptr %array, i64 {layout.ARRAY_DATA}
  %table = load ptr, ptr %table.at
  %status = call i64 @run(ptr %inputs, ptr %outputs, ptr %numbers, ptr %table)
  %result = call ptr @PyLong_FromLongLong(i64 %status)
  ret ptr %result
}}

declare ptr @PyLong_FromLongLong(i64)

; arguments: {{kernel, inputs, outputs, rows, cols}}
define i64 @fused(ptr %a) {{
{loads("*kernel *in *out rows cols")}
  call void %kernel(ptr %in, ptr %out, i64 %rows, i64 %cols)
  ret i64 0
}}
"""

# ta and tb say whether A and B are transposed; C (m, n) lies row by row.
_GEMM_WORDS = "*A *B *C m:i32 n:i32 k:i32 lda:i32 ldb:i32 ldc:i32 ta:i32 tb:i32"
_GEMM = """
declare void @cblas_{letter}gemm(
  i32, i32, i32, i32, i32, i32, {type}, ptr, i32, ptr, i32, {type}, ptr, i32)

define i64 @{letter}gemm(ptr %a) {{
{words}
  call void @cblas_{letter}gemm(
    i32 101, i32 %ta, i32 %tb, i32 %m, i32 %n, i32 %k, {type} 1.0,
    ptr %A, i32 %lda, ptr %B, i32 %ldb, {type} 0.0, ptr %C, i32 %ldc)
  ret i64 0
}}
"""


class Runtime:
    """The linked runtime: the loop and the addresses of its entries."""

    def __init__(self) -> None:
        words = loads(_GEMM_WORDS)
        products = (
            _GEMM.format(letter=letter, type=kind, words=words)
            for letter, kind in (("s", "float"), ("d", "double"))
        )
        self.library = jit.engine().load(
            "\n".join([_LOOP, *products]),
            ["run", "run_objects", "fused", "sgemm", "dgemm"],
            imports={
                "float_type": id(float),
                "int_type": id(int),
                "bool_type": id(bool),
                "PyLong_FromLongLong": interpreter("PyLong_FromLongLong"),
                "cblas_sgemm": blas.address("sgemm"),
                "cblas_dgemm": blas.address("dgemm"),
            },
        )
        self.run = builtin(self.library, "run_objects")
        addresses = (ctypes.c_void_p,) * 4
        releasing = ctypes.CFUNCTYPE(ctypes.c_int64, *addresses)
        self._releasing = releasing(self.library.address("run"))

    def run_without_gil(
        self, inputs: list[Any], outputs: list[Any], numbers: list[Any], table: Any
    ) -> int:
        """``run`` while other Python threads go on."""
        return int(self._releasing(id(inputs), id(outputs), id(numbers), table.ctypes.data))

    def entry(self, name: str) -> int:
        """The address of an entry: fused, sgemm or dgemm."""
        return self.library.address(name)


@once
def runtime() -> Runtime:
    """The runtime of this process.

    Raises:
        NotImplementedError: this interpreter's objects are laid out in another way.
    """
    if not layout.is_supported():
        raise NotImplementedError(
            "native code needs CPython with its global lock on a 64-bit machine; programs run as "
            "NumPy source here."
        )
    install()
    return Runtime()
