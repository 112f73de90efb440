"""`backlit predict`, `eval` and `info`."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backlit.cli.columns import features, fit_columns
from backlit.cli.report import class_balance
from backlit.cli.targets import known_target
from backlit.data import read_csv
from backlit.data.frame import Column
from backlit.interop import read_model
from tests.cli.conftest import Command
from tests.meta.sources import SRC


def test_predictions_of_classes(trained: Path, backlit_command: Command) -> None:
    """One line per row; probabilities add up to 1, and the largest one's class is predicted."""
    result = backlit_command("predict", "people.safetensors", "people.csv")
    assert result.code == 0, result.err
    rows = list(csv.reader(io.StringIO(result.out)))
    assert rows[0] == ["predicted bought", "P(no)", "P(yes)"]
    assert len(rows) == 301
    for name, *shares in rows[1:]:
        assert sum(map(float, shares)) == pytest.approx(1, abs=1e-5)
        assert name == ["no", "yes"][int(np.argmax([float(p) for p in shares]))]


def test_predictions_of_numbers_go_to_a_file(people: Path, backlit_command: Command) -> None:
    """-o writes a file that numpy reads; an existing one needs --force."""
    backlit_command(
        "train", "people.csv", "--target", "income", "--epochs", "3", "-o", "m.safetensors"
    )
    result = backlit_command("predict", "m.safetensors", "people.csv", "-o", "p.csv")
    assert result.out == "300 predictions in p.csv\n"
    values = np.loadtxt("p.csv", skiprows=1)
    assert values.shape == (300,)
    assert 30 < values.mean() < 70
    result = backlit_command("predict", "m.safetensors", "people.csv", "-o", "p.csv")
    assert (result.code, "p.csv exists already" in result.err) == (1, True)
    assert (
        backlit_command("predict", "m.safetensors", "people.csv", "-o", "p.csv", "--force").code
        == 0
    )


def test_rows_do_not_depend_on_each_other(trained: Path, backlit_command: Command) -> None:
    """A row predicted alone gets the prediction that it gets among others."""
    whole = backlit_command("predict", "people.safetensors", "people.csv").out.splitlines()
    lines = Path("people.csv").read_text().splitlines()
    Path("one.csv").write_text("\n".join([lines[0], lines[5]]) + "\n")
    alone = backlit_command("predict", "people.safetensors", "one.csv").out.splitlines()
    assert alone[1].split(",")[0] == whole[5].split(",")[0]
    shares = [[float(p) for p in line.split(",")[1:]] for line in (alone[1], whole[5])]
    assert shares[0] == pytest.approx(shares[1], abs=1e-5)


def test_eval_scores(trained: Path, backlit_command: Command) -> None:
    """The accuracy is that of the predictions, and the confusion matrix counts all rows."""
    out = backlit_command("predict", "people.safetensors", "people.csv").out
    predicted = [line.split(",")[0] for line in out.splitlines()[1:]]
    true = read_csv("people.csv")["bought"].texts()
    accuracy = np.mean([a == b for a, b in zip(predicted, true, strict=True)])
    result = backlit_command("eval", "people.safetensors", "people.csv")
    assert result.code == 0, result.err
    assert result.out.startswith("300 rows of people.csv\n")
    assert f"{100 * accuracy:.1f} %" in result.out


def test_eval_of_a_built_in_table(backlit_command: Command) -> None:
    """Built-in tables can be scored by their name."""
    backlit_command("train", "mcycle", "--epochs", "2")
    result = backlit_command("eval", "mcycle.safetensors", "mcycle")
    assert result.code == 0, result.err
    assert "residuals" in result.out


def test_info(trained: Path, backlit_command: Command) -> None:
    """What the model predicts, from what, how it was trained, and how good it is."""
    result = backlit_command("info", "people.safetensors")
    assert result.code == 0, result.err
    for text in (
        "predicts  'bought' (classification)",
        "network   7 → 16 relu → 2: 162 parameters",
        "classes   no, yes",
        "numbers   age, income",
        "rows      210 for training, 45 for validation, 45 for the test",
        "linear model",
    ):
        assert text in result.out


def test_unknown_categories_and_gaps(people: Path) -> None:
    """A new category is none of the known ones; a gap sets its flag and takes the mean."""
    frame = read_csv(people)
    del frame.columns["bought"]
    notes: list[str] = []
    encodings = fit_columns(frame, np.arange(200), notes)
    Path("other.csv").write_text("age,city,income\n,Paris,50\n30,,50\n")
    other = features(read_csv("other.csv", kinds={"age": "number", "city": "text"}), encodings)
    assert other[0].tolist()[:6] == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert other[1].tolist()[1:6] == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_classes_that_are_numbers_are_recognised() -> None:
    """Class 3 is the number 3, whether the file's column is read as numbers or as text."""
    as_number = Column("y", "number", np.array([3.0, np.nan, 1.0]))
    as_text = Column("y", "text", np.array([0, -1, 1], np.int32), ["3", "1"])
    for column in (as_number, as_text):
        assert known_target(column, "classification", ["1", "3"]).tolist() == [1, -1, 0]


def test_rare_categories_are_put_together(people: Path) -> None:
    """Only the most frequent categories of a column get a feature of their own."""
    codes = np.repeat(np.arange(150), 3).astype(np.int32)
    frame = read_csv(people)
    frame.columns = {"word": Column("word", "text", codes, [f"w{i}" for i in range(150)])}
    notes: list[str] = []
    (encoding,) = fit_columns(frame, np.arange(450), notes)
    assert len(encoding["categories"]) == 100
    assert notes == ["column 'word': the 100 most frequent of 150 categories are told apart"]


def test_classes_of_equal_size_are_told_as_such() -> None:
    """Neither is the largest."""
    assert class_balance(np.array([0, 1]), ["a", "b"]) == "2 classes of equal size"


def test_module_runs(folder: Path) -> None:
    """`python -m backlit` is the command line."""
    result = subprocess.run(
        [sys.executable, "-m", "backlit", "--help"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert "Train a network on a table, and predict with it." in result.stdout


def test_model_file_has_no_pickle(trained: Path) -> None:
    """The file is JSON and numbers: description, weights, nothing that could run."""
    model = read_model(trained)
    assert sorted(model.weights) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert all(array.dtype == np.float32 for array in model.weights.values())
