"""A language model of one sentence: which word follows which, and how surprised it is.

Run with ``python examples/next_word.py``.
"""

from __future__ import annotations

import backlit
from backlit import lab, nn, optim
from backlit.lab import WordLosses

TEXT = "the cat sat on the mat and the dog sat on the cat ."


def next_word(steps: int = 200) -> WordLosses:
    """Train an embedding and a linear layer to name the next word; say how well they do."""
    backlit.manual_seed(0)
    words = TEXT.split()
    vocabulary = sorted(set(words))
    numbers = backlit.tensor([vocabulary.index(word) for word in words])
    now, then = numbers[:-1], numbers[1:]
    model = nn.Sequential(nn.Embedding(len(vocabulary), 8), nn.Linear(8, len(vocabulary)))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(now), then)
        loss.backward()
        optimizer.step()
    return lab.word_losses(model(now), then, vocabulary)


if __name__ == "__main__":
    print(next_word())
