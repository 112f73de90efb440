"""`backlit train`: from a table to a model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backlit.interop import read_model
from tests.cli.conftest import Command


def test_digits_reach_97_percent(backlit_command: Command) -> None:
    """The main job: the built-in digits, with both baselines and the confusion matrix."""
    result = backlit_command("train", "digits", "--epochs", "30")
    assert result.code == 0, result.err
    (line,) = [line for line in result.out.splitlines() if line.startswith("network  ")]
    assert float(line.split()[1]) >= 97.0
    assert "linear model" in result.out
    assert "majority class" in result.out
    assert "rows: true class, columns: predicted class" in result.out
    assert "model: digits.safetensors" in result.out


def test_report_of_a_mixed_table(people: Path, backlit_command: Command) -> None:
    """Gaps, constants, names, classes, split and architecture are told."""
    result = backlit_command("train", "people.csv", "--target", "bought", "--epochs", "12")
    assert result.code == 0, result.err
    assert "missing values: 'age' 15 (5.0 %), 'city' 10 (3.3 %)" in result.out
    assert "target 'bought' (text): classification: 2 classes, from" in result.out
    assert "left out: 1 constant column (planet)" in result.out
    assert (
        "left out: 'name', which holds 210 texts in 210 rows: names, not categories" in result.out
    )
    assert "stratified: 210 rows for training, 45 for validation, 45 for the test" in result.out
    assert "3 columns as 7 features, standardised" in result.out
    assert "network 7 → 16 relu → 2 (7 features, 2 classes, one hidden layer" in result.out
    model = read_model("people.safetensors")
    assert (model.task, model.classes) == ("classification", ["no", "yes"])
    assert [column["name"] for column in model.columns] == ["age", "city", "income"]
    assert [column["flag"] for column in model.columns] == [True, True, False]
    assert list(Path().glob("*.resume")) == []


def test_regression_is_detected(people: Path, backlit_command: Command) -> None:
    """Many different numbers are a regression: errors in the target's units, residuals."""
    result = backlit_command("train", "people.csv", "--target", "income", "--epochs", "5")
    assert result.code == 0, result.err
    assert "target 'income' (297 different numbers): regression" in result.out
    assert "R²       RMSE        MAE" in result.out
    assert "residuals (predicted − true): mean" in result.out
    mean, scale = read_model("people.safetensors").target_scale
    assert mean == pytest.approx(50, abs=3)
    assert scale == pytest.approx(10, abs=2)


def test_options_decide(people: Path, backlit_command: Command) -> None:
    """Every choice can be overridden."""
    result = backlit_command(
        "train", "people.csv", "--target", "bought", "--hidden", "8,6", "--activation", "tanh,gelu",
        "--optimizer", "sgd", "--lr", "0.05", "--epochs", "3", "--batch-size", "16",
        "--weight-decay", "0.001", "--dropout", "0.1", "--seed", "5", "-o", "m.safetensors",
        "--missing", "drop", "--show-source",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "network 5 → 8 tanh → 6 gelu → 2 (as asked for)" in result.out
    assert "sgd, lr 0.05, batch 16, at most 3 epochs" in result.out
    assert "left out: 25 rows with missing values" in result.out
    assert "# forward" in result.out
    assert "# backward" in result.out
    model = read_model("m.safetensors")
    assert model.architecture == {
        "sizes": [5, 8, 6, 2],
        "activations": ["tanh", "gelu"],
        "dropout": 0.1,
    }
    assert model.training["options"] == "sgd, lr 0.05, batch 16, weight decay 0.001, seed 5"


def test_no_hidden_layer(people: Path, backlit_command: Command) -> None:
    """--hidden 0 trains a linear model."""
    assert backlit_command("train", "iris", "--hidden", "0", "--epochs", "2").code == 0
    assert read_model("iris.safetensors").architecture["sizes"] == [4, 3]


def test_same_seed_same_model(people: Path, backlit_command: Command) -> None:
    """A seed decides split, weights and order: two runs give the same bits."""
    for name in ("a.safetensors", "b.safetensors"):
        result = backlit_command(
            "train", "people.csv", "--target", "bought", "--epochs", "3", "-o", name, "-q"
        )
        assert (result.code, result.out) == (0, "")
    first, second = read_model("a.safetensors").weights, read_model("b.safetensors").weights
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_whole_numbers_can_be_classes_or_quantities(folder: Path, backlit_command: Command) -> None:
    """Few different whole numbers are classes, unless the user says that they are a quantity."""
    rng = np.random.default_rng(1)
    rows = [f"{x:.3f}\t{int(x > 0) + int(x > 1)}" for x in rng.normal(size=120)]
    Path("t.tsv").write_text("x\tlevel\n" + "\n".join(rows) + "\n")
    result = backlit_command("train", "t.tsv", "--target", "level", "--epochs", "2")
    assert "target 'level' (3 different whole numbers): classification: 3 classes" in result.out
    result = backlit_command(
        "train", "t.tsv", "--target", "level", "--epochs", "2", "--task", "regression", "--force"
    )
    assert "target 'level' (3 different numbers): regression" in result.out


def test_parquet(folder: Path, backlit_command: Command) -> None:
    """Parquet files are read through the extra."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(2)
    x = rng.normal(size=100)
    parquet.write_table(arrow.table({"x": x, "y": np.where(x > 0, "up", "down")}), "t.parquet")
    assert backlit_command("train", "t.parquet", "--target", "y", "--epochs", "2").code == 0
    assert backlit_command("predict", "t.safetensors", "t.parquet").out.count("\n") == 101
