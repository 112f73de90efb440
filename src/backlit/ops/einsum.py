"""Einstein summation: every sum of products of tensors, written with indices.

Operands are contracted pair by pair, the cheapest pair first, and each contraction is one matrix
product (batched where an index is kept in both operands).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import Any

from backlit.core.op import op
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError
from backlit.ops.linalg import product

Label = str | int  # a letter, or (negative) the place of a dimension that "..." stands for
Labels = list[Label]


@op(method=False)
def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation describes.

    ``einsum("bij,bjk->bik", x, y)`` multiplies matrices of a batch. Indices missing on the right
    are summed over; without ``->`` the result has, sorted, those that occur once. ``...`` stands
    for any further dimensions, which broadcast. The other form gives each operand's indices as a
    list of numbers: ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.

    >>> import backlit
    >>> backlit.einsum("ii->i", backlit.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    equation, operands = _as_equation(args)
    inputs, output = _parse(equation, operands)
    terms = [
        _diagonals(i, x, labels) for i, (x, labels) in enumerate(zip(operands, inputs, strict=True))
    ]
    _check_sizes(terms, output)
    while len(terms) > 1:
        i, j = _cheapest(terms)
        first, second = terms[i], terms[j]
        terms = [t for k, t in enumerate(terms) if k not in (i, j)]
        keep = set(output).union(*(labels for _, labels in terms))
        terms.insert(0, _contract(first, second, keep))
    x, labels = _sum_out(*terms[0], set(output))
    order = [labels.index(label) for label in output]
    return x if order == sorted(order) else x.permute(*order)


def _as_equation(args: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """The equation and the operands, from either form of call."""
    if not args:
        raise ArgumentError("einsum(): must specify the equation string and at least one operand.")
    if isinstance(args[0], str):
        operands = args[1:]
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
        if not operands:
            raise ArgumentError("einsum(): must provide at least one operand.")
        return args[0], list(operands)
    pairs = len(args) // 2
    text = ",".join(_sublist(args[2 * i + 1]) for i in range(pairs))
    if len(args) % 2:
        text += "->" + _sublist(args[-1])
    return text, [args[2 * i] for i in range(pairs)]


def _sublist(numbers: Sequence[Any]) -> str:
    letters = []
    for n in numbers:
        if n is Ellipsis:
            letters.append("...")
        elif not 0 <= n < 52:
            raise ArgumentError(
                f"einsum(): expected a list of integers in [0, 52) as indices, but got {n}."
            )
        else:
            letters.append(chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26))
    return "".join(letters)


def _letters(term: str, where: str) -> list[str]:
    """The indices of one operand, with "..." as one item."""
    found = list(term.replace("...", "…"))
    for c in found:
        if not (c == "…" or (c.isascii() and c.isalpha())):
            raise ArgumentError(
                f"einsum(): invalid subscript given in {where} of the equation string: {c!r} in "
                f"'{term}'; subscripts must be in [a-zA-Z]."
            )
    if found.count("…") > 1:
        raise ArgumentError(
            f"einsum(): found '.' in {where} '{term}' for which an ellipsis was already found."
        )
    return found


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[Labels], Labels]:
    """Labels of each operand's dimensions and of the result's."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(
            f"einsum(): {'more' if len(operands) > len(terms) else 'fewer'} operands were provided "
            "than "
            f"specified in the equation '{equation}': {len(operands)} and {len(terms)}."
        )
    inputs: list[Labels] = []
    dots = 0
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        letters = _letters(term, f"operand {i}")
        named = len(letters) - letters.count("…")
        if named > x.ndim or (named < x.ndim and "…" not in letters):
            raise ShapeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the "
                "number "
                f"of dimensions ({x.ndim}) for operand {i} and no ellipsis was given."
            )
        rest = x.ndim - named
        dots = max(dots, rest)
        inputs.append(_spread(letters, rest))
    if arrow:
        output = _spread(_letters(right, "the output"), dots)
    else:
        seen = [c for labels in inputs for c in labels if isinstance(c, str)]
        output = [*range(-dots, 0), *sorted(c for c in set(seen) if seen.count(c) == 1)]
    for label in output:
        if isinstance(label, str) and output.count(label) > 1:
            raise ArgumentError(
                f"einsum(): output subscript {label} appears more than once in the output."
            )
        if isinstance(label, str) and not any(label in labels for labels in inputs):
            raise ArgumentError(
                f"einsum(): output subscript {label} does not appear in the equation for any input "
                "operand."
            )
    return inputs, output


def _spread(letters: list[str], dots: int) -> Labels:
    """Labels with "…" replaced by ``dots`` numbers, counted from the right."""
    found: Labels = []
    for c in letters:
        if c == "…":
            found.extend(range(-dots, 0))
        else:
            found.append(c)
    return found


def _diagonals(i: int, x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Operand ``x`` with each repeated index reduced to the diagonal."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't "
                    "match, "
                    f"{x.shape[second]} != {x.shape[first]}."
                )
            x = x.diagonal(0, first, second)
            del labels[second], labels[first]
            labels.append(label)
    return x, labels


def _check_sizes(terms: list[tuple[Tensor, Labels]], output: Labels) -> None:
    """Every index must have one size in all operands, or 1."""
    sizes: dict[Label, int] = {}
    for x, labels in terms:
        for label, n in zip(labels, x.shape, strict=True):
            known = sizes.get(label, 1)
            if 1 not in (known, n) and known != n:
                raise ShapeError(
                    f"einsum(): operands do not broadcast with remapped shapes: subscript {label} "
                    "has "
                    f"size {n} in one operand and {known} in another."
                )
            sizes[label] = n if known == 1 else known


def _cheapest(terms: list[tuple[Tensor, Labels]]) -> tuple[int, int]:
    """The pair of operands with the fewest multiplications."""

    def cost(pair: tuple[int, int]) -> int:
        sizes: dict[Label, int] = {}
        for k in pair:
            for label, n in zip(terms[k][1], terms[k][0].shape, strict=True):
                sizes[label] = max(n, sizes.get(label, 1))
        return prod(sizes.values())

    return min(combinations(range(len(terms)), 2), key=cost)


def _sum_out(x: Tensor, labels: Labels, keep: set[Label]) -> tuple[Tensor, Labels]:
    """``x`` summed over the indices that nothing else needs."""
    dims = [d for d, label in enumerate(labels) if label not in keep]
    if not dims:
        return x, labels
    return x.sum(dims), [label for label in labels if label in keep]


def _drop_stretched(x: Tensor, labels: Labels, y: Tensor, of_y: Labels) -> tuple[Tensor, Labels]:
    """``x`` without the dimensions of size 1 that stretch along ``y``."""
    dims = [
        d
        for d, label in enumerate(labels)
        if label in of_y and x.shape[d] == 1 and y.shape[of_y.index(label)] != 1
    ]
    if not dims:
        return x, labels
    shape = tuple(n for d, n in enumerate(x.shape) if d not in dims)
    return x.reshape(shape), [label for d, label in enumerate(labels) if d not in dims]


def _contract(
    first: tuple[Tensor, Labels], second: tuple[Tensor, Labels], keep: set[Label]
) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over the indices not in ``keep``."""
    x, of_x = _drop_stretched(*first, *second)
    y, of_y = _drop_stretched(*second, x, of_x)
    x, of_x = _sum_out(x, of_x, keep.union(of_y))
    y, of_y = _sum_out(y, of_y, keep.union(of_x))
    batch = [label for label in of_x if label in of_y and label in keep]
    inner = [label for label in of_x if label in of_y and label not in keep]
    rows = [label for label in of_x if label not in of_y]
    columns = [label for label in of_y if label not in of_x]
    out = batch + rows + columns
    if not inner:
        return _arranged(x, of_x, out) * _arranged(y, of_y, out), out
    size = dict(zip(of_x, x.shape, strict=True)) | dict(zip(of_y, y.shape, strict=True))
    x, x_t = _as_matrices(x, of_x, batch, rows, inner, size)
    y, y_t = _as_matrices(y, of_y, batch, inner, columns, size)
    found = product(x, y, x_t, y_t)
    return found.reshape(tuple(size[label] for label in out)), out


def _arranged(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    """``x`` with its dimensions in ``order``, and size 1 for those it lacks."""
    present = [label for label in order if label in labels]
    moved = x.permute(*(labels.index(label) for label in present)) if present != labels else x
    shape = iter(moved.shape)
    return moved.reshape(tuple(next(shape) if label in labels else 1 for label in order))


def _as_matrices(
    x: Tensor, labels: Labels, batch: Labels, rows: Labels, columns: Labels, size: dict[Label, int]
) -> tuple[Tensor, bool]:
    """``x`` as matrices over its joined indices; True where they lie transposed in memory."""
    transposed = labels == batch + columns + rows and labels != batch + rows + columns
    if transposed:
        rows, columns = columns, rows
    order = batch + rows + columns
    if labels != order:
        x = x.permute(*(labels.index(label) for label in order))
    n, m = (prod(size[label] for label in part) for part in (rows, columns))
    lead = (prod(size[label] for label in batch),) if batch else ()
    return x.reshape((*lead, n, m)), transposed
