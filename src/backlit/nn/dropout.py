"""Dropout (Srivastava et al., 2014): units switched off at random while training."""

from __future__ import annotations

from backlit.core.tensor import Tensor
from backlit.nn import functional as F
from backlit.nn.module import Module


class _Dropout(Module):
    """``p`` is the probability that a unit is switched off."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, each element is 0 with probability p and x/(1 - p) otherwise, so that E[y] = x.

    >>> from backlit import nn
    >>> layer = nn.Dropout(0.5)
    >>> layer.eval()(backlit.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels of sequences (N, C, L)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of images (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """`Dropout` of whole channels of volumes (N, C, D, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for `SELU` networks: keeps mean and variance (Klambauer et al., 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)


class ScaledDropout(_Dropout):
    """Dropout as first published: masks without scaling in training, y = (1 - p) x in evaluation.

    The expected training output equals the evaluation output, as with `Dropout`; only the place of
    the factor 1 - p differs.

    >>> from backlit import nn
    >>> nn.ScaledDropout(0.5).eval()(backlit.tensor([1.0, 2.0]))
    tensor([0.5000, 1.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        keep = 1 - self.p
        if not self.training:
            return input * keep
        return F.dropout(input, self.p) * keep


__all__ = [
    "AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout",
    "ScaledDropout",
]  # fmt: skip
