"""Losses and normalisation against PyTorch: reductions, weights, ignored targets, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F

torch = pytest.importorskip("torch")

R = np.random.default_rng(3)
X = R.normal(size=(4, 3))
Y = R.normal(size=(4, 3))
P = R.uniform(0.05, 0.95, size=(4, 3))
SIGNS = np.sign(R.normal(size=(4, 3)))
CLASSES = np.array([0, 2, 1, 2])
IMAGE = R.normal(size=(2, 3, 2, 2))
PIXELS = R.integers(0, 3, (2, 2, 2))
WEIGHT = np.array([0.2, 1.0, 3.0])
SIMPLEX = R.dirichlet(np.ones(3), 4)

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("mse_loss", (X, Y), {}),
    ("mse_loss", (X, Y), {"weight": P}),
    ("l1_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.5}),
    ("huber_loss", (X, Y), {"delta": 0.7}),
    ("cross_entropy", (X, CLASSES), {}),
    ("cross_entropy", (X, CLASSES), {"weight": WEIGHT, "label_smoothing": 0.2}),
    ("cross_entropy", (X, CLASSES), {"ignore_index": 2, "label_smoothing": 0.1}),
    ("cross_entropy", (X, CLASSES), {"weight": WEIGHT, "ignore_index": 2}),
    ("cross_entropy", (X, SIMPLEX), {}),
    ("cross_entropy", (X, SIMPLEX), {"weight": WEIGHT, "label_smoothing": 0.3}),
    ("cross_entropy", (IMAGE, PIXELS), {"weight": WEIGHT}),
    ("cross_entropy", (X[0], CLASSES[0]), {}),
    ("linear_cross_entropy", (X, Y[:3], CLASSES), {"weight": WEIGHT, "label_smoothing": 0.1}),
    ("nll_loss", (X, CLASSES), {"weight": WEIGHT}),
    ("nll_loss", (IMAGE, PIXELS), {"ignore_index": 1}),
    ("binary_cross_entropy", (P, SIMPLEX), {"weight": P[::-1].copy()}),
    ("binary_cross_entropy_with_logits", (X, SIMPLEX), {"pos_weight": WEIGHT, "weight": P}),
    ("kl_div", (X, SIMPLEX), {}),
    ("kl_div", (X, Y), {"log_target": True}),
    ("poisson_nll_loss", (X, P * 5), {"full": True}),
    ("poisson_nll_loss", (P, P), {"log_input": False}),
    ("gaussian_nll_loss", (X, Y, P), {"full": True}),
    ("gaussian_nll_loss", (X, Y, P[:, :1]), {}),
    ("gaussian_nll_loss", (X, Y, P[:, 0]), {}),
    ("gaussian_nll_loss", (X, Y, P[:1]), {}),
    ("hinge_embedding_loss", (X, SIGNS), {"margin": 0.5}),
    ("margin_ranking_loss", (X, Y, SIGNS), {"margin": 0.3}),
    ("soft_margin_loss", (X, SIGNS), {}),
    ("multi_margin_loss", (X, CLASSES), {"p": 2, "weight": WEIGHT, "margin": 0.7}),
    ("multilabel_margin_loss", (X, np.array([[0, -1, 2], [2, 1, 0], [-1, 1, 1], [1, 2, -1]])), {}),
    ("multilabel_soft_margin_loss", (X, (SIGNS > 0) * 1.0), {"weight": WEIGHT}),
    ("cosine_embedding_loss", (X, Y, SIGNS[:, 0]), {"margin": 0.2}),
    ("triplet_margin_loss", (X, Y, P), {"swap": True, "p": 1}),
]


def convert(library: Any, x: Any, *, leaf: bool) -> Any:
    if not isinstance(x, np.ndarray | np.generic):
        return x
    t = library.tensor(np.asarray(x))
    return t.requires_grad_() if leaf and np.asarray(x).dtype.kind == "f" else t


# PyTorch announces a change of kl_div's mean that it has not made since 2018.
@pytest.mark.filterwarnings("ignore:reduction. .mean. divides:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_losses_are_torchs(name: str, args: Any, kwargs: Any, reduction: str) -> None:
    """Values and gradients with respect to the input equal PyTorch's, for every reduction."""
    found = []
    for library, functional in ((backlit, F), (torch, torch.nn.functional)):
        operands = [convert(library, a, leaf=i == 0) for i, a in enumerate(args)]
        options = {k: convert(library, v, leaf=False) for k, v in kwargs.items()}
        loss = getattr(functional, name)(*operands, **options, reduction=reduction)
        loss.sum().backward()
        found.append((loss.detach().numpy(), operands[0].grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("layer_norm", (IMAGE, (2, 2), R.normal(size=(2, 2)), R.normal(size=(2, 2)))),
        ("rms_norm", (IMAGE, (2,), R.normal(size=2))),
        ("group_norm", (IMAGE, 3, WEIGHT, WEIGHT)),
        ("instance_norm", (IMAGE, None, None, WEIGHT, WEIGHT)),
        ("batch_norm", (IMAGE, WEIGHT, WEIGHT, WEIGHT, WEIGHT, False)),
        ("batch_norm", (IMAGE, None, None, WEIGHT, WEIGHT, True)),
        ("local_response_norm", (IMAGE, 2)),
        ("normalize", (IMAGE, 3.0, 2)),
        ("linear", (X, Y, R.normal(size=4))),
        ("bilinear", (X, Y, R.normal(size=(5, 3, 3)), R.normal(size=5))),
    ],
)
def test_maps_are_torchs(name: str, args: Any) -> None:
    """Values, and gradients of every floating operand, equal PyTorch's."""
    found = []
    for library, functional in ((backlit, F), (torch, torch.nn.functional)):
        leaf = [i == 0 or (name != "batch_norm" or i > 2) for i in range(len(args))]
        operands = [convert(library, a, leaf=flag) for a, flag in zip(args, leaf, strict=True)]
        out = getattr(functional, name)(*operands)
        (out * out.detach().sin()).sum().backward()
        grads = [o.grad.numpy() for o in operands if getattr(o, "requires_grad", False)]
        found.append([out.detach().numpy(), *grads])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
