"""Small tables on disk, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from backlit.cli import main


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def backlit_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in the folder."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def people(folder: Path) -> Path:
    """300 rows: names, a number with gaps, a category with gaps and commas, a constant; y/n."""
    rng = np.random.default_rng(0)
    lines = ["name,age,city,income,planet,bought"]
    for i in range(300):
        age, income = rng.integers(18, 80), rng.normal(50, 10)
        city = rng.choice(["Oslo", "Rome, IT", "Bonn"])
        bought = "yes" if income + (city == "Oslo") * 20 > 55 else "no"
        shown = ["" if i % 20 == 3 else str(age), "" if i % 30 == 4 else f'"{city}"']
        lines.append(f"p{i},{shown[0]},{shown[1]},{income:.3f},1,{bought}")
    path = folder / "people.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def trained(people: Path, backlit_command: Command) -> Path:
    """A model of `people` that predicts what was bought."""
    result = backlit_command("train", "people.csv", "--target", "bought", "--epochs", "12")
    assert result.code == 0, result.err
    return people.with_name("people.safetensors")
