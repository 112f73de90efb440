"""A profile as text: where the time went, programs, kernels, compilations, fallbacks."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from backlit.insight.kernels import WIDTH, count, decimals, fitted, phase_text, short
from backlit.insight.text import seconds, table

if TYPE_CHECKING:
    from backlit.insight.profile import Profile

_ROWS = 30  # kernels shown
_PROGRAMS = 12


def table_of(prof: Profile) -> str:
    """The whole report."""
    runs = f"{prof.flushes} run{'s' * (prof.flushes != 1)} of "
    programs = f"{len(prof.programs)} program{'s' * (len(prof.programs) != 1)}"
    parts = [
        [f"profile of {seconds(prof.seconds)}: {runs}{programs}"],
        _where_the_time_went(prof),
        _programs(prof),
        _kernels(prof),
        _compilations(prof),
        _fallbacks(prof),
    ]
    return "\n".join("\n".join(lines) + "\n" for lines in parts if lines).rstrip()


def _where_the_time_went(prof: Profile) -> list[str]:
    native = source = cold = hot = 0.0
    for p in prof.programs:
        cold += p.seconds["cold"]
        hot += p.seconds["hot"]
        for kernel, total in p.native_kernels():
            if kernel.kind == "source":
                source += total
            else:
                native += total
    making = sum(c.seconds for c in prof.compilations if not c.background)
    rows = [
        ("native kernels", native),
        ("NumPy source between native kernels", source),
        ("around kernels: result arrays, addresses", hot - native - source),
        ("programs as NumPy source (cold)", cold),
        ("making programs: NumPy source, native code", making),
        ("Python: recording, and your own code", prof.python),
        ("the profile itself", prof.overhead),
    ]
    whole = prof.seconds or 1.0
    body = [(name, f"{t * 1e3:.2f}", f"{t / whole:.1%}") for name, t in rows if t > 0]
    return table([("where the time went", "ms", "share"), *body], right=(1, 2), rules=(1,))


def _programs(prof: Profile) -> list[str]:
    header = ("program", "", "cold", "hot", "µs cold", "µs hot", "µs Python", "lines")
    rows = []
    for p in sorted(prof.programs, key=lambda p: -sum(p.seconds.values()))[:_PROGRAMS]:
        each = {k: p.seconds[k] / p.runs[k] * 1e6 if p.runs[k] else 0.0 for k in p.runs}
        python = p.recording / sum(p.runs.values()) * 1e6 if sum(p.runs.values()) else 0.0
        whole = p.view.whole()
        rows.append(
            (
                f"{p.number}: {whole.name}", phase_text(whole.phase), str(p.runs["cold"] or ""),
                str(p.runs["hot"] or ""), decimals(each["cold"]), decimals(each["hot"]),
                decimals(python), whole.lines,
            )
        )  # fmt: skip
    if not rows:
        return []
    return [*fitted(header, rows), *_more(len(prof.programs) - len(rows), "prof.programs")]


def _kernels(prof: Profile) -> list[str]:
    found = prof.kernels()
    if not found:
        return []
    header = ("kernel", "", "calls", "ms", "share", "µs each", "GB/s", "GF/s", "lines")
    rows = []
    for row in found[:_ROWS]:
        k = row.kernel
        rows.append(
            (
                ("NumPy: " if k.kind == "source" else "") + k.name, phase_text(k.phase),
                count(row.calls), decimals(row.total * 1e3), f"{row.share:.1%}",
                decimals(k.seconds * 1e6), decimals(k.bytes_per_second / 1e9),
                decimals(k.flops_per_second / 1e9), k.lines,
            )
        )  # fmt: skip
    return [*fitted(header, rows), *_more(len(found) - len(rows), "prof.kernels()")]


def _more(n: int, what: str) -> list[str]:
    return [f"… and {n} more in {what}"] if n > 0 else []


def _compilations(prof: Profile) -> list[str]:
    rows = []
    for kind, background, text in (
        ("source", False, "written as NumPy source"),
        ("native", False, "compiled to native code, waited for"),
        ("native", True, "compiled to native code in the background"),
    ):
        found = [c for c in prof.compilations if c.kind == kind and c.background is background]
        if found:
            times = [c.seconds * 1e3 for c in found]
            compiled, loaded = sum(c.compiled for c in found), sum(c.loaded for c in found)
            made = f"{compiled} compiled, {loaded} from the disk" if kind == "native" else ""
            rows.append((text, str(len(found)), f"{sum(times):.1f}", f"{max(times):.1f}", made))
    if not rows:
        return []
    header = ("programs made", "", "ms", "longest", "libraries")
    return table([header, *rows], right=(1, 2, 3), rules=(1,))


def _fallbacks(prof: Profile) -> list[str]:
    told = prof.fallbacks()
    if not told:
        return []
    lines = ["no native form, so run as NumPy source", "─" * 38]
    for reason in told[:_ROWS]:
        lines += textwrap.wrap(short(reason, 3 * WIDTH), WIDTH, subsequent_indent="  ")
    return [*lines, *_more(len(told) - _ROWS, "prof.fallbacks()")]
