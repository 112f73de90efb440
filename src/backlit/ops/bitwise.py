"""Operations on the bits of whole numbers, and on truth values."""

from __future__ import annotations

from backlit.core.operators import binary, unary
from backlit.core.primitive import elementwise
from backlit.ops.elementwise import whole

bitwise_and_card = elementwise(
    "bitwise_and", lambda m, x, y: x & y, kinds="bi", maths="x ∧ y", samples=whole(-9, 9)
)
bitwise_or_card = elementwise(
    "bitwise_or", lambda m, x, y: x | y, kinds="bi", maths="x ∨ y", samples=whole(-9, 9)
)
bitwise_xor_card = elementwise(
    "bitwise_xor", lambda m, x, y: x ^ y, kinds="bi", maths="x ⊕ y", samples=whole(-9, 9)
)
bitwise_not_card = elementwise(
    "bitwise_not", lambda m, x: ~x, kinds="bi", maths="¬x", samples=whole(-9, 9, 1)
)
left_shift_card = elementwise(
    "bitwise_left_shift", lambda m, x, y: x << y, kinds="i", maths="x 2ʸ", samples=whole(0, 9)
)
right_shift_card = elementwise(
    "bitwise_right_shift", lambda m, x, y: x >> y, kinds="i", maths="⌊x 2⁻ʸ⌋", samples=whole(0, 9)
)

bitwise_and = binary(bitwise_and_card)
bitwise_or = binary(bitwise_or_card)
bitwise_xor = binary(bitwise_xor_card)
bitwise_not = unary(bitwise_not_card)
bitwise_left_shift = binary(left_shift_card)
bitwise_right_shift = binary(right_shift_card)
