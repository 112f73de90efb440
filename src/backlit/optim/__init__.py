"""Optimizers and learning-rate schedules, under PyTorch's names."""

from __future__ import annotations

from backlit.optim import lr_scheduler
from backlit.optim.adam import Adam, AdamW
from backlit.optim.optimizer import Optimizer
from backlit.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
