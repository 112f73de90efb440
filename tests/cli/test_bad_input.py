"""Bad input gets one line on the error stream, a non-zero exit, and leaves no file behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command

ROWS = "".join(f"{i % 7},{i * i % 11},{'ab'[i % 2]}\n" for i in range(60))
HEAD = "u,v,kind\n"
TABLE = HEAD + ROWS


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


# What is wrong: the table, the options, and the whole message.
CASES = {
    "no target": (TABLE, [], "say which column to predict: --target COLUMN, one of u, v, kind."),
    "missing column": (
        TABLE,
        ["--target", "size"],
        "t.csv: there is no column 'size'; there are u, v, kind.",
    ),
    "text as regression target": (
        TABLE,
        ["--target", "kind", "--task", "regression"],
        (
            "the target column 'kind' holds text (a, b, …), but a regression predicts numbers; use "
            "--task classification, or another --target."
        ),
    ),
    "one class only": (
        HEAD + ROWS.replace("b", "a"),
        ["--target", "kind"],
        "the target column 'kind' has one class only (a); classification needs two.",
    ),
    "constant target": (
        HEAD + "".join(f"{i},1,a\n" for i in range(60)),
        ["--target", "v", "--task", "regression"],
        "the target column 'v' is 1 in every row; there is nothing to learn.",
    ),
    "names as classes": (
        HEAD + "".join(f"{i},{i},n{i}\n" for i in range(60)),
        ["--target", "kind"],
        (
            "the target column 'kind' holds 60 different texts in 60 rows; these are names rather "
            "than classes: choose another --target."
        ),
    ),
    "infinite value": (
        TABLE + "inf,1,a\n",
        ["--target", "kind"],
        "t.csv: column 'u' is inf in row 61; correct it, or leave it empty if it is missing.",
    ),
    "missing target": (
        TABLE + "1,1,\n",
        ["--target", "kind"],
        (
            "the target column 'kind' has no value in 1 row (the first is row 61); fill them in, "
            "or leave such rows out with --missing drop."
        ),
    ),
    "NaN refused": (
        TABLE + "NaN,1,a\n",
        ["--target", "kind", "--missing", "error"],
        "t.csv: missing values: 'u' 1 (1.6 %); use --missing fill or --missing drop.",
    ),
    "too few rows": (
        HEAD + "1,2,a\n2,1,b\n",
        ["--target", "kind"],
        (
            "t.csv: 2 rows are too few to train, validate and test with; there should be at least "
            "10, better hundreds."
        ),
    ),
    "nothing to train with": (
        TABLE,
        ["--target", "kind", "--validation", "0.6", "--test", "0.4"],
        "--validation 0.6 and --test 0.4 leave nothing of 60 rows to train with.",
    ),
    "only the target": (
        "kind\n" + "a\nb\n" * 30,
        ["--target", "kind"],
        "t.csv: there is no column but the target to learn from.",
    ),
    "nothing to learn from": (
        "u,kind\n" + "1,a\n1,b\n" * 30,
        ["--target", "kind"],
        "t.csv: no column says anything about the target: each is constant, or holds names.",
    ),
    "unknown activation": (
        TABLE,
        ["--target", "kind", "--activation", "zigzag"],
        (
            "activation 'zigzag' is not known; there are celu, elu, gelu, hardswish, hardtanh, "
            "identity, leaky_relu, mish, relu, relu6, selu, sigmoid, silu, softplus, softsign, "
            "tanh."
        ),
    ),
    "activations and layers": (
        TABLE,
        ["--target", "kind", "--hidden", "8,8", "--activation", "relu,tanh,relu"],
        "3 activations for 2 hidden layers; give one for all, or one each.",
    ),
    "nothing to resume": (
        TABLE,
        ["--target", "kind", "--resume"],
        "t.safetensors.resume: there is no interrupted run to resume; leave out --resume.",
    ),
    "no such folder": (
        TABLE,
        ["--target", "kind", "-o", "nowhere/m.safetensors"],
        "nowhere: there is no such folder to write the model to.",
    ),
    "ragged": (
        TABLE + "1,2\n",
        ["--target", "kind"],
        "t.csv, line 62: 2 fields instead of 3; look for a missing or an unquoted ','.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_table(folder: Path, backlit_command: Command, case: str) -> None:
    """The full message of everything that can be wrong with a table or with options."""
    text, options, message = CASES[case]
    Path("t.csv").write_text(text)
    result = backlit_command("train", "t.csv", *options)
    assert result.err == f"backlit: {message}\n"
    assert result.code == 1
    assert files() == {"t.csv"}


def test_missing_file(backlit_command: Command) -> None:
    """A file that is not there is named."""
    result = backlit_command("train", "none.csv", "--target", "y")
    assert (result.code, result.err) == (1, "backlit: none.csv: no such file; check the path.\n")


def test_divergence_writes_nothing(folder: Path, backlit_command: Command) -> None:
    """A learning rate that is far too high gives advice, and no model."""
    Path("t.csv").write_text(TABLE)
    result = backlit_command(
        "train",
        "t.csv",
        "--target",
        "v",
        "--task",
        "regression",
        "--lr",
        "1e30",
        "--optimizer",
        "sgd",
    )
    assert result.code == 1
    assert result.err.startswith("backlit: training diverged: the loss became ")
    assert result.err.endswith("lower the learning rate (--lr, now 1e+30). Nothing was written.\n")
    assert files() == {"t.csv"}


def test_wrong_hidden_sizes(backlit_command: Command) -> None:
    """Options that cannot be read are refused before anything is done."""
    result = backlit_command("train", "iris", "--hidden", "8,x")
    assert result.code == 2
    assert "'8,x': give positive whole numbers with commas between them: 64,32." in result.err
    assert result.err.count("\n") == 1


def test_csv_options_for_something_else(backlit_command: Command) -> None:
    """A delimiter makes no sense for a table that is built in."""
    result = backlit_command("train", "iris", "--delimiter", ";")
    assert result.err == "backlit: iris: --delimiter is for CSV files only; leave it out.\n"


def test_existing_model_is_kept(trained: Path, backlit_command: Command) -> None:
    """Without --force an existing output stays as it is, and no time is spent on training."""
    before = trained.read_bytes()
    result = backlit_command("train", "people.csv", "--target", "bought")
    assert result.code == 1
    assert result.err == (
        "backlit: people.safetensors exists already; choose another name, or replace it "
        "(--force).\n"
    )
    assert trained.read_bytes() == before


def test_output_that_is_a_folder(trained: Path, backlit_command: Command) -> None:
    """A folder cannot be replaced by a file."""
    Path("there").mkdir()
    result = backlit_command(
        "predict", "people.safetensors", "people.csv", "-o", "there", "--force"
    )
    assert result.err == "backlit: there: this is a folder; give the name of a file.\n"


@pytest.mark.parametrize("command", ["predict", "eval", "info"])
def test_truncated_and_foreign_models(
    trained: Path, backlit_command: Command, command: str
) -> None:
    """A cut-off model file, a damaged one, and a file of another kind are each told."""
    table = [] if command == "info" else ["people.csv"]
    content = trained.read_bytes()
    Path("cut.safetensors").write_bytes(content[:-20])
    Path("flipped.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    messages = {
        "cut.safetensors": "cut.safetensors: not a readable safetensors file; it is damaged, cut",
        "people.csv": "people.csv: not a readable safetensors file; it is damaged, cut short or",
        "flipped.safetensors": "flipped.safetensors: damaged, its checksum does not match its",
        "none.safetensors": "none.safetensors: no such file; check the path.",
    }
    for path, message in messages.items():
        result = backlit_command(command, path, *table)
        assert result.code == 1
        assert result.err.startswith(f"backlit: {message}")
        assert result.err.count("\n") == 1


def test_columns_do_not_match(trained: Path, backlit_command: Command) -> None:
    """All columns that the model misses are named at once, and no predictions are left."""
    Path("other.csv").write_text("age,size\n1,2\n")
    for command in (["predict", "-o", "p.csv"], ["eval"]):
        result = backlit_command(command[0], "people.safetensors", "other.csv", *command[1:])
        assert (result.code, result.err) == (
            1,
            (
                "backlit: other.csv does not fit people.safetensors: it has no column 'city', "
                "'income'; the model reads age, city, income.\n"
            ),
        )
    assert not Path("p.csv").exists()


def test_text_where_the_model_wants_numbers(trained: Path, backlit_command: Command) -> None:
    """The line and the column are named, and the output so far is removed."""
    Path("other.csv").write_text("age,city,income\n1,Oslo,50\nold,Bonn,40\n")
    result = backlit_command("predict", "people.safetensors", "other.csv", "-o", "p.csv")
    assert result.err == (
        "backlit: other.csv, line 3, column 'age': 'old' is not a number; correct it, or leave the "
        "field empty if it is missing.\n"
    )
    assert [name for name in files() if "p.csv" in name] == []


def test_infinite_value_in_predict(trained: Path, backlit_command: Command) -> None:
    """Infinite numbers are no more welcome than in training."""
    Path("other.csv").write_text("age,city,income\n1,Oslo,50\n2,Bonn,inf\n")
    result = backlit_command("predict", "people.safetensors", "other.csv")
    assert result.err == (
        "backlit: other.csv: column 'income' is inf in row 2; correct it, or leave it empty if it "
        "is missing.\n"
    )


def test_parquet_of_another_kind(trained: Path, backlit_command: Command) -> None:
    """In Parquet files too, a column must hold what the model was trained on."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"age": ["x"], "city": ["Oslo"], "income": [1.0]}), "o.parquet")
    result = backlit_command("predict", "people.safetensors", "o.parquet")
    assert result.err == (
        "backlit: o.parquet: column 'age' holds text, but the model was trained on numbers there.\n"
    )


def test_no_rows(trained: Path, backlit_command: Command) -> None:
    """A table with a header only has nothing to predict."""
    Path("other.csv").write_text("age,city,income\n")
    result = backlit_command("predict", "people.safetensors", "other.csv", "-o", "p.csv")
    assert result.err == "backlit: other.csv: there are no rows in it.\n"
    assert not Path("p.csv").exists()


def test_eval_without_target(trained: Path, backlit_command: Command) -> None:
    """Scores need the truth; classes must be known."""
    Path("other.csv").write_text("age,city,income\n1,Oslo,50\n")
    result = backlit_command("eval", "people.safetensors", "other.csv")
    assert result.err == (
        "backlit: other.csv: there is no column 'bought' to compare predictions with; `backlit "
        "predict` needs none.\n"
    )
    Path("other.csv").write_text("age,city,income,bought\n1,Oslo,50,perhaps\n2,Bonn,3,yes\n")
    result = backlit_command("eval", "people.safetensors", "other.csv")
    assert result.err == (
        "backlit: column 'bought' holds 'perhaps', which is none of the model's classes "
        "(no, yes).\n"
    )
    Path("other.csv").write_text("age,city,income,bought\n1,Oslo,50,\n2,Bonn,3,\n")
    result = backlit_command("eval", "people.safetensors", "other.csv")
    assert result.err == (
        "backlit: other.csv: the column 'bought' is empty; there is nothing to score.\n"
    )


def test_weights_of_another_architecture(trained: Path, backlit_command: Command) -> None:
    """A model file whose parts contradict each other is refused."""
    from backlit.interop import read_model, write_model

    model = read_model(trained)
    model.weights["0.weight"] = np.zeros((3, 3), np.float32)
    write_model("odd.safetensors", model)
    result = backlit_command("predict", "odd.safetensors", "people.csv")
    assert result.err.startswith(
        "backlit: odd.safetensors: its weights do not fit its architecture ("
    )
    assert result.err.count("\n") == 1


def test_unwritable_predictions(trained: Path, backlit_command: Command) -> None:
    """A folder that is not there is told in one line."""
    result = backlit_command("predict", "people.safetensors", "people.csv", "-o", "no/p.csv")
    assert result.err == "backlit: no/p.csv: cannot be written (No such file or directory).\n"


def test_regression_model_on_text(people: Path, backlit_command: Command) -> None:
    """A model of numbers cannot be scored on text."""
    backlit_command("train", "people.csv", "--target", "income", "--epochs", "1")
    text = people.read_text().splitlines()
    lines = [text[0], *(",".join([*row.split(",")[:-3], "lots", "1", "no"]) for row in text[1:4])]
    Path("other.csv").write_text("\n".join(lines) + "\n")
    result = backlit_command("eval", "people.safetensors", "other.csv")
    assert "column 'income': 'lots' is not a number" in result.err
