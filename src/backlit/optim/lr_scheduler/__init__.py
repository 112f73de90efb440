"""Learning-rate schedulers, with PyTorch's names and numbers.

A scheduler is made on an optimizer and stepped after it, once an epoch (CyclicLR and OneCycleLR:
once a batch). They need nothing of an optimizer but its `param_groups`.
"""

from backlit.optim.lr_scheduler.base import LRScheduler
from backlit.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from backlit.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from backlit.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from backlit.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from backlit.optim.lr_scheduler.plateau import ReduceLROnPlateau

_LRScheduler = LRScheduler  # the name before PyTorch 2.0

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
