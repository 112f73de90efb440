"""Sequences of different lengths in one tensor."""

from __future__ import annotations

from collections.abc import Iterable

from backlit.core.registry import PUBLIC
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, ShapeError


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, *) stacked to (L, N, *), or (N, L, *) if ``batch_first``, L the longest.

    >>> from backlit.nn.utils.rnn import pad_sequence
    >>> pad_sequence([backlit.tensor([1, 2]), backlit.tensor([3])], batch_first=True).tolist()
    [[1, 2], [3, 0]]
    """
    listed = list(sequences)
    if not listed:
        raise ArgumentError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise ArgumentError("padding_side should be either 'left' or 'right'")
    rest = {tuple(t.shape[1:]) for t in listed}
    if len(rest) > 1:
        raise ShapeError(
            f"pad_sequence: sequences may differ in their first size only, got {sorted(rest)} for "
            "the others."
        )
    longest = max(t.shape[0] for t in listed)
    padded = [_padded(t, longest, padding_value, padding_side) for t in listed]
    made: Tensor = PUBLIC["stack"](padded, 0 if batch_first else 1)
    return made


def _padded(t: Tensor, length: int, value: float, side: str) -> Tensor:
    missing = length - t.shape[0]
    if not missing:
        return t
    filler: Tensor = t.new_full((missing, *t.shape[1:]), value)
    parts = [t, filler] if side == "right" else [filler, t]
    made: Tensor = PUBLIC["cat"](parts, 0)
    return made


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences that `pad_sequence` stacked, given their lengths."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [batch[i][:n] for i, n in enumerate(lengths.tolist())]


__all__ = ["pad_sequence", "unpad_sequence"]
