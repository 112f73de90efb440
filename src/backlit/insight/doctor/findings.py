"""What the doctor says: findings, each with the place, the reason and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite, log10

from backlit.insight.text import number, table

SEVERITIES = {3: "STOPS LEARNING", 2: "SLOWS LEARNING", 1: "NOTE"}
WIDTH = 96


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor found.

    Attributes:
        rule: its short name, such as "saturated units".
        severity: 3 stops learning, 2 slows it, 1 is worth knowing.
        what: what was seen, with numbers.
        where: the path of the module or parameter, or "data", "loss", "optimizer".
        why: why that matters.
        what_to_do: the remedies, the likeliest first.
    """

    rule: str
    severity: int
    what: str
    where: str
    why: str
    what_to_do: str

    def __str__(self) -> str:
        return self.told(self.where)

    def told(self, where: str, again: bool = False) -> str:
        """As text, with `where` in other words; `again` leaves out what has been explained."""
        head = f"{SEVERITIES[self.severity]}: {self.rule}, in {where}"
        parts = [("seen", self.what)]
        if not again:
            parts += [("why", self.why), ("do", self.what_to_do)]
        indent = " " * 9
        lines = [
            textwrap.fill(text, WIDTH, initial_indent=f"   {label:6}", subsequent_indent=indent)
            for label, text in parts
        ]
        return "\n".join([head, *lines])


@dataclass(frozen=True)
class LayerGradient:
    """How much gradient reaches one weight.

    Attributes:
        path: the parameter, such as "layers.0.weight".
        weight, gradient: root mean square of its elements, and of their gradients.
    """

    path: str
    weight: float
    gradient: float


@dataclass(frozen=True)
class Checkup:
    """The findings of `doctor.check`, the worst first; print it to read them.

    Attributes:
        subject: what was looked at.
        loss: the loss of the batch that was looked at.
        findings: what was found.
        layers: how much gradient reaches each weight, from the input to the output.
        kinds: module path → its class, for the report.
    """

    subject: str
    loss: float
    findings: tuple[Finding, ...]
    layers: tuple[LayerGradient, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that slows or stops learning."""
        return all(finding.severity < 2 for finding in self.findings)

    @property
    def rules(self) -> list[str]:
        """The names of the rules that found something, the worst first."""
        return list(dict.fromkeys(finding.rule for finding in self.findings))

    def of(self, rule: str) -> list[Finding]:
        """The findings of one rule."""
        return [finding for finding in self.findings if finding.rule == rule]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        n = len(self.findings)
        verdict = "nothing found" if not n else f"{n} finding{'s' * (n > 1)}, the worst first"
        lines = [f"Checkup of {self.subject}: loss {number(self.loss)}; {verdict}", ""]
        told: set[str] = set()
        for i, finding in enumerate(self.findings, 1):
            kind = self.kinds.get(finding.where)
            where = f"{finding.where} ({kind})" if kind else finding.where
            text = finding.why + finding.what_to_do
            lines += [f"{i}. {finding.told(where, again=text in told)}", ""]
            told.add(text)
        if self.layers:
            rows = [("weight", "its size", "its gradient", "gradient, log scale")]
            rows += [
                (x.path, f"{x.weight:.2e}", f"{x.gradient:.2e}", bar) for x, bar in self._bars()
            ]
            lines += table(rows, right=(1, 2), rules=(1,))
            lines.append("(sizes are root mean squares; the input is at the top)")
        return "\n".join(lines).rstrip()

    __repr__ = __str__

    def _bars(self) -> list[tuple[LayerGradient, str]]:
        """Bars from 1e-10 (nothing) to 1e2 (two blocks per factor of ten)."""
        found: list[tuple[LayerGradient, str]] = []
        for x in self.layers:
            if not isfinite(x.gradient):
                bar = "not finite"
            elif x.gradient == 0:
                bar = "none"
            else:
                bar = "█" * max(1, min(24, round(2 * (log10(x.gradient) + 10))))
            found.append((x, bar))
        return found


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sorted by severity; equal ones stay in order."""
    return tuple(sorted(findings, key=lambda finding: -finding.severity))


__all__ = ["Checkup", "Finding", "LayerGradient", "worst_first"]
