"""``python -m benchmarks [section …]``: measure, print, and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from benchmarks import engine, native_elementwise, sklearn_mlp, table, training


def machine() -> str:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":")[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        name = models[0] if models else name
    versions = []
    for package in ("numpy", "torch", "jax", "scikit-learn"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    today = dt.datetime.now(dt.UTC).date()
    python = platform.python_version()
    return f"{today}, {name}, {os.cpu_count()} cores, Python {python}, {', '.join(versions)}"


def main(names: list[str]) -> None:
    """Run the sections named (all of them by default)."""
    sections = {
        **engine.SECTIONS,
        **native_elementwise.SECTIONS,
        **training.SECTIONS,
        **sklearn_mlp.SECTIONS,
        **table.SECTIONS,
    }
    unknown = [n for n in names if n not in sections]
    if unknown:
        sys.exit(f"unknown section {unknown[0]!r}; there are: {', '.join(sections)}")
    text = [f"# Benchmark results\n\n{machine()}\n"]
    sys.stdout.write(text[0] + "\n")
    for name in names or sections:
        part = f"## {name}\n\n{sections[name]()}\n"
        sys.stdout.write(part + "\n")
        sys.stdout.flush()
        text.append(part)
    if not names:
        (Path(__file__).parent / "RESULTS.md").write_text("\n".join(text))


if __name__ == "__main__":
    main(sys.argv[1:])
