"""Optimizers and learning-rate schedules, under PyTorch's names."""

from __future__ import annotations

from backlit.optim import lr_scheduler
from backlit.optim.adafactor import Adafactor
from backlit.optim.adam import Adam, AdamW
from backlit.optim.adaptive import Adadelta, Adagrad, Adamax, NAdam, RAdam, RMSprop
from backlit.optim.lbfgs import LBFGS
from backlit.optim.muon import Muon
from backlit.optim.optimizer import Optimizer
from backlit.optim.sgd import SGD, EMAMomentum
from backlit.optim.sign import ASGD, Rprop
from backlit.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "EMAMomentum",
    "LBFGS", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam",
    "lr_scheduler",
]  # fmt: skip
