"""``python -m benchmarks [section …]``: measure, print, and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each has SECTIONS, name → a function that returns Markdown. None may import a framework before
# its functions are called: other sections' processes would carry it.
MODULES = (
    "engine",
    "native_elementwise",
    "training",
    "inference",
    "depth",
    "cold_start",
    "compile_time",
    "memory",
    "sklearn_mlp",
    "table",
)
ONE_SECTION = (
    "import sys; from benchmarks.__main__ import sections; "
    "sys.stdout.buffer.write(sections()[sys.argv[1]]().encode())"
)

RATIOS = (
    "Ratios are a peer's time ÷ ours, the median over rounds in which all take turns: more than 1 "
    "means that Backlit is faster."
)


def sections() -> dict[str, Callable[[], str]]:
    """All sections, in order."""
    found: dict[str, Callable[[], str]] = {}
    for module in MODULES:
        found |= importlib.import_module(f"benchmarks.{module}").SECTIONS
    return found


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
    for package in ("numpy", "torch", "jax", "scikit-learn", "llvmlite", "scipy-openblas32"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    today = dt.datetime.now(dt.UTC).date()
    python = platform.python_version()
    return f"{today}, {name}, {os.cpu_count()} cores, Python {python}, {', '.join(versions)}"


def load() -> str:
    """How busy the machine is, where that can be known."""
    if not hasattr(os, "getloadavg"):
        return ""
    return f" Load before the run: {os.getloadavg()[0]:.1f}."


def measure(name: str) -> tuple[str, bool]:
    """A section as Markdown, measured in a process of its own, and whether that went well."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_SECTION, name], cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        return f"Failed with exit status {done.returncode}; the run says why.", False
    return done.stdout.decode(), True


def main(names: list[str]) -> None:
    """Run the sections named (all of them by default)."""
    known = sections()
    unknown = [n for n in names if n not in known]
    if unknown:
        sys.exit(f"unknown section {unknown[0]!r}; there are: {', '.join(known)}")
    text = [f"# Benchmark results\n\n{machine()}.{load()}\n\n{RATIOS}\n"]
    sys.stdout.write(text[0] + "\n")
    failed = False
    for name in names or known:
        start = time.perf_counter()
        measured, is_good = measure(name)
        failed = failed or not is_good
        text.append(f"## {name}\n\n{measured}\n")
        sys.stdout.write(f"{text[-1]}\n({time.perf_counter() - start:.0f} s)\n\n")
        sys.stdout.flush()
    if not names:
        (ROOT / "benchmarks" / "RESULTS.md").write_text("\n".join(text))
    if failed:
        sys.exit("A section failed.")


if __name__ == "__main__":
    main(sys.argv[1:])
