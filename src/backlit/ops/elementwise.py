"""Elementwise arithmetic and mathematics."""

from __future__ import annotations

import math

from backlit.core.op import binary, unary
from backlit.core.primitive import elementwise

# -- arithmetic -----------------------------------------------------------------------------------

add_card = elementwise(
    "add", lambda m, x, y: x + y, (lambda m: 1, lambda m: 1), maths="x + y", local=("1", "1")
)
sub_card = elementwise(
    "sub", lambda m, x, y: x - y, (lambda m: 1, lambda m: -1), kinds="if", maths="x - y", local=("1", "-1")
)
mul_card = elementwise(
    "mul", lambda m, x, y: x * y, (lambda m, y: y, lambda m, x: x), maths="x y", local=("y", "x")
)
div_card = elementwise(
    "div",
    lambda m, x, y: x / y,
    (lambda m, y: 1 / y, lambda m, x, y: -x / (y * y)),
    kinds="f",
    maths="x / y",
    local=("1/y", "-x/y²"),
)
neg_card = elementwise("neg", lambda m, x: -x, lambda m: -1, kinds="if", maths="-x", local="-1")
square_card = elementwise(
    "square", lambda m, x: x * x, lambda m, x: 2 * x, maths="x²", local="2x"
)
exp_card = elementwise(
    "exp", lambda m, x: m.exp(x), lambda m, out: out, kinds="f", maths="eˣ", local="eˣ"
)
log_card = elementwise(
    "log", lambda m, x: m.log(x), lambda m, x: 1 / x, kinds="f", maths="ln x", local="1/x"
)
sqrt_card = elementwise(
    "sqrt", lambda m, x: m.sqrt(x), lambda m, out: 0.5 / out, kinds="f", maths="√x", local="1/(2√x)"
)
tanh_card = elementwise(
    "tanh", lambda m, x: m.tanh(x), lambda m, out: 1 - out * out, kinds="f", maths="tanh x", local="1 - tanh² x"
)
sigmoid_card = elementwise(
    "sigmoid",
    lambda m, x: 1 / (1 + m.exp(-x)),
    lambda m, out: out * (1 - out),
    kinds="f",
    maths="σ(x) = 1/(1 + e⁻ˣ)",
    local="σ(x)(1 - σ(x))",
)
relu_card = elementwise(
    "relu", lambda m, x: m.maximum(x, 0), lambda m, out: out > 0, maths="max(0, x)", local="1 if x > 0 else 0"
)
pow_card = elementwise(
    "pow",
    lambda m, x, y: m.power(x, y),
    (
        lambda m, x, y: m.where(y == 0, 0, y * m.pow(x, y - 1)),
        lambda m, x, y, out: m.where((x == 0) & (y >= 0), 0, out * m.log(x)),
    ),
    maths="xʸ",
    local=("y xʸ⁻¹", "xʸ ln x"),
)
where_card = elementwise(
    "where",
    lambda m, condition, x, y: m.where(condition, x, y),
    (None, lambda m, condition: condition, lambda m, condition: ~condition),
    maths="x where condition else y",
    local=("", "condition", "not condition"),
)

neg = unary(neg_card)
exp = unary(exp_card)
log = unary(log_card)
sqrt = unary(sqrt_card)
tanh = unary(tanh_card)
sigmoid = unary(sigmoid_card)
relu = unary(relu_card)
square = unary(square_card)
add = binary(add_card)
sub = binary(sub_card)
mul = binary(mul_card)
div = binary(div_card)
pow = binary(pow_card)

inf = math.inf
