"""What a language model's loss says: how surprised it is by each word of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import backlit.nn.functional as F
from backlit.core.tensor import Tensor
from backlit.errors import ShapeError


@dataclass(frozen=True)
class WordLosses:
    """The words of a text and -ln p of each, for the probability p that the model gave it.

    Attributes:
        words: the gold words.
        losses: -ln p of each.
    """

    words: tuple[str, ...]
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The cross-entropy per word."""
        return sum(self.losses) / len(self.losses)

    @property
    def perplexity(self) -> float:
        """e to the mean: among how many equally likely words the model chooses, as it were."""
        return math.exp(self.mean)

    def __str__(self) -> str:
        room = max(map(len, self.words)) + 2
        rows = [f"{'word':<{room}}{'p':>8}{'-ln p':>9}"]
        rows += [
            f"{word:<{room}}{math.exp(-loss):>8.4f}{loss:>9.4f}"
            for word, loss in zip(self.words, self.losses, strict=True)
        ]
        rows.append(f"mean -ln p {self.mean:.4f}, perplexity {self.perplexity:.4f}")
        return "\n".join(rows)

    __repr__ = __str__


def word_losses(scores: Tensor, gold: Tensor, vocabulary: Sequence[str]) -> WordLosses:
    """-ln p of each gold word, from the scores for all words at its place.

    Args:
        scores: one row of scores (logits) per place, one column per word: (T, V).
        gold: the number of the word that came: (T,), with T of at least 1.
        vocabulary: the V words.

    Raises:
        ShapeError: if there is no place, or scores and vocabulary disagree.

    >>> import backlit
    >>> even = backlit.zeros(2, 4)  # four words, all as likely
    >>> round(word_losses(even, backlit.tensor([3, 0]), ["a", "cat", "is", "here"]).perplexity, 3)
    4.0
    """
    if scores.ndim != 2 or not scores.shape[0] or scores.shape[1] != len(vocabulary):
        raise ShapeError(
            "word_losses: scores must have a row for each of at least one place and a column for "
            f"each of the {len(vocabulary)} words, got {tuple(scores.shape)}."
        )
    losses = F.cross_entropy(scores.detach(), gold, reduction="none").tolist()
    return WordLosses(tuple(vocabulary[int(i)] for i in gold.tolist()), tuple(losses))
