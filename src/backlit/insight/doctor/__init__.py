"""The doctor: looks at a network that does not learn, and says what is wrong and what helps."""

from __future__ import annotations

from backlit.insight.doctor.checkup import check, dead_units, gradient_norms, saturated_share
from backlit.insight.doctor.findings import Checkup, Finding, LayerGradient
from backlit.insight.doctor.overfit import OverfitCheck, overfit_check

__all__ = [
    "Checkup",
    "Finding",
    "LayerGradient",
    "OverfitCheck",
    "check",
    "dead_units",
    "gradient_norms",
    "overfit_check",
    "saturated_share",
]
