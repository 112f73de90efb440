"""What normalisation remembers of the batches it has seen."""

from __future__ import annotations

import backlit
import backlit.nn.functional as F


def test_empty_batch_leaves_running_statistics() -> None:
    """A batch without samples has no mean: the running statistics stay as they are."""
    mean, var = backlit.tensor([1.0, 2.0]), backlit.tensor([3.0, 4.0])
    out = F.batch_norm(backlit.zeros(0, 2, 3), mean, var, training=True)
    assert out.shape == (0, 2, 3)
    assert mean.tolist() == [1.0, 2.0]
    assert var.tolist() == [3.0, 4.0]


def test_running_statistics_move_by_the_momentum() -> None:
    """r ← (1 - momentum) r + momentum · new, with the unbiased variance of the batch."""
    mean, var = backlit.tensor([1.0]), backlit.tensor([3.0])
    F.batch_norm(backlit.tensor([[2.0], [6.0]]), mean, var, training=True, momentum=0.25)
    assert mean.tolist() == [1.75]
    assert var.tolist() == [4.25]
