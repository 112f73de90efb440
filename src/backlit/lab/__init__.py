"""The lab: small, plain versions of what the framework does, to learn from and to compare with."""

from __future__ import annotations
