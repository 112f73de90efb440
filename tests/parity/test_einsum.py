"""einsum against PyTorch: every notation, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit

torch = pytest.importorskip("torch")

CASES = [
    ("i->", (3,)),
    ("i->i", (3,)),
    ("ij->ji", (3, 4)),
    ("ij->", (3, 4)),
    ("ij->j", (3, 4)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("iji->j", (2, 3, 2)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (3,), (4,)),
    ("i,i->i", (3,), (3,)),
    ("ij,jk", (3, 4), (4, 5)),
    ("ij,jk->ki", (3, 4), (4, 5)),
    ("ji,kj->ik", (4, 3), (5, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
    ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (6, 4, 5)),
    ("...ii->...i", (2, 3, 3)),
    ("...", (2, 3)),
    ("i...->...", (2, 3, 4)),
    ("ij,ij->", (3, 4), (3, 4)),
    ("ij,k->ijk", (3, 4), (2,)),
    ("ij,j->", (3, 4), (4,)),
    ("bA,ba->Aab", (2, 3), (2, 4)),
    ("ij,jk->ik", (3, 1), (4, 5)),
    ("ij,ij->ij", (1, 4), (3, 1)),
    (" i j , j k -> i k ", (3, 4), (4, 5)),
    ("ij,jk->ik", (0, 4), (4, 5)),
    ("ij,jk->ik", (3, 0), (0, 5)),
]


def operands(shapes: tuple[tuple[int, ...], ...]) -> tuple[list[Any], list[Any]]:
    random = np.random.default_rng(5)
    arrays = [random.normal(size=shape) for shape in shapes]
    ours = [backlit.tensor(a, requires_grad=True) for a in arrays]
    return ours, [torch.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize(("equation", "shapes"), [(e, s) for e, *s in CASES], ids=str)
def test_einsum_is_torchs(equation: str, shapes: Any) -> None:
    """Values, and gradients of every operand, equal PyTorch's."""
    ours, theirs = operands(tuple(shapes))
    found, expected = backlit.einsum(equation, *ours), torch.einsum(equation, *theirs)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    found.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)


def test_sublist_form_is_the_equation() -> None:
    """Indices given as lists of numbers mean the same, with ... and with an implicit output too."""
    x, y = backlit.ones(2, 3, 4), backlit.ones(2, 4, 5)
    expected = backlit.einsum("bij,bjk->bik", x, y)
    assert backlit.einsum(x, [0, 1, 2], y, [0, 2, 3], [0, 1, 3]).tolist() == expected.tolist()
    found = backlit.einsum(x, [..., 1, 2], y, [..., 2, 3])
    assert found.tolist() == expected.tolist()
    assert backlit.einsum("bij,bjk->bik", [x, y]).tolist() == expected.tolist()


def test_contractions_are_matrix_products() -> None:
    """A contraction compiles to one product and no copy of an operand."""
    x, y = backlit.ones(8, 4), backlit.ones(5, 4)
    text = backlit.compiler.source(backlit.einsum("ij,kj->ik", x, y))
    assert text.count(" @ ") == 1
    assert "copy" not in text
    assert "reduce" not in text
