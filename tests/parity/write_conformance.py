"""Write ``docs/conformance.md`` from the JSON reports of PyTorch's own sample inputs.

python -m tests.parity.write_conformance ops.json ops_more.json … modules.json optim.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
HEAD = """# Conformance with PyTorch

PyTorch's test-suite has sample inputs for its ops, modules and optimizers. They are converted
through NumPy, run here and in PyTorch {torch}, and values, shapes, dtypes and gradients are
compared. An op counts only if all its samples pass, in float64 and float32. Written by
`python -m tests.parity.write_conformance`.
"""


def by_op(results: list[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """mode → op name → its results, skipped ones left out."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for r in results:
        if r["status"] == "skip":
            continue
        mode = r["mode"]
        if mode == "grad":
            mode = "forward and gradient" if r["dtype"].startswith("float") else "integers and bool"
        found[mode][r["op"]].append(r)
    return found


def passes(results: list[dict[str, Any]]) -> bool:
    """Whether every result of an op is a pass."""
    return all(r["status"] == "pass" for r in results)


def ops_section(results: list[dict[str, Any]]) -> str:
    """Counts per mode, and what does not pass."""
    modes = by_op(results)
    main = modes["forward and gradient"]
    good = {op for op, rs in main.items() if passes(rs)}
    rows = [f"| forward and gradient, float64 and float32 | {len(good)} of {len(main)} | |"]
    for mode in ("gradgrad", "errors", "method", "inplace", "integers and bool"):
        ops = modes.get(mode, {})
        if ops:
            passing = {op for op, rs in ops.items() if passes(rs)}
            both = [op for op in ops if op in good]
            share = 100 * len([op for op in both if op in passing]) / max(len(both), 1)
            rows.append(f"| {mode} | {len(passing)} of {len(ops)} | {share:.1f} % of {len(both)} |")
    missing = sorted(op for op, rs in main.items() if any(r["status"] == "missing" for r in rs))
    failing = sorted(op for op in main if op not in good and op not in missing)
    lines = [
        "## Ops\n",
        "| mode | op names wholly passing | of those that pass forward and gradient |",
        "|---|---|---|",
        *rows,
        f"\n### Missing ({len(missing)})\n",
        ", ".join(f"`{op}`" for op in missing) or "none",
        f"\n### Present, but with samples that differ ({len(failing)})\n",
    ]
    for op in failing:
        bad = next(r for r in main[op] if r["status"] != "pass")
        why = (bad["errors"] or [bad["status"]])[0].replace("|", "\\|").replace("`", "'")
        lines.append(f"- `{op}`: {why[:140]}")
    return "\n".join(lines) + "\n"


def modules_section(report: dict[str, Any]) -> str:
    """Modules that wholly pass, and the others."""
    names: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for r in report["results"]:
        if r["status"] != "skip":
            names[r["id"]["module"]].append(r)
    good = [n for n, rs in names.items() if passes(rs)]
    others = sorted(n for n in names if n not in good)
    return (
        f"## Modules\n\n{len(good)} of {len(names)} modules wholly pass (construction, "
        f"state_dict, forward, gradients, buffers, errors).\n\n"
        f"Not: {', '.join(f'`{n}`' for n in others) or 'none'}.\n"
    )


def optim_section(report: dict[str, Any]) -> str:
    """Trajectories, error inputs and schedules."""
    s = report["summary"]
    lines = ["## Optimizers\n", "| what | equal to PyTorch's |", "|---|---|"]
    for key, label in (("run", "trajectories"), ("errors", "error inputs"), ("sched", "schedules")):
        lines.append(f"| {label} | {s[key].get('ok', 0)} of {s[key].get('configs', 0)} |")
    missing = sorted({r["id"]["optim"] for r in report["results"] if r["status"] == "missing"})
    if missing:
        lines.append(f"\nMissing: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


def main(paths: list[str]) -> None:
    """Read the reports, whatever their order, and write the page."""
    ops: list[dict[str, Any]] = []
    sections: list[str] = []
    torch = ""
    for path in paths:
        report = json.loads(Path(path).read_text())
        torch = report["torch"]
        kinds = report["results"][0]["id"]
        if "op" in kinds:
            ops += report["results"]
        elif "module" in kinds:
            sections.append(modules_section(report))
        else:
            sections.append(optim_section(report))
    text = HEAD.format(torch=torch.split("+")[0])
    PAGE.write_text("\n".join([text, *([ops_section(ops)] if ops else []), *sections]))


if __name__ == "__main__":
    main(sys.argv[1:])
