"""The commands and their options."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from backlit.errors import BacklitError

INTERRUPTED = 130  # the exit status that shells expect after Ctrl-C
FAILED = 1
HOW: dict[str, Any] = {"prog_name": "backlit", "standalone_mode": False}


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command; whatever goes wrong is one line on the error stream."""
    given_arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = commands.main(given_arguments, **HOW, obj=given_arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return fail("stopped at once; nothing was written.", INTERRUPTED)
    except (BacklitError, OSError) as error:
        return fail(str(error), FAILED)
    except MemoryError:
        return fail("not enough memory for this table.", FAILED)
    return code if isinstance(code, int) else 0


def fail(message: str, code: int) -> int:
    """Say in one line what is wrong."""
    click.echo(f"backlit: {' '.join(message.split())}", err=True)
    return code


class Numbers(click.ParamType[Any]):
    """Whole numbers with commas between them."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, tuple):
            return value
        texts = [text.strip() for text in str(value).split(",")]
        if texts == ["0"] or texts == [""]:
            return ()
        if not all(text.isdecimal() and int(text) > 0 for text in texts):
            self.fail(f"{value!r}: give positive whole numbers with commas between them: 64,32.")
        return tuple(int(text) for text in texts)


class Names(click.ParamType[Any]):
    """Names with commas between them."""

    name = "NAME,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, tuple):
            return value
        return tuple(text.strip().lower() for text in str(value).split(",") if text.strip())


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options about how a CSV file is written."""
    for option in (
        click.option("--encoding", help="Encoding of a CSV file (utf-8)."),
        click.option("--decimal", type=click.Choice([".", ","]), help="Decimal sign."),
        click.option("--delimiter", help="Between the fields of a CSV file (found out)."),
    ):
        command = option(command)
    return command


def given(**options: Any) -> dict[str, Any]:
    """Those options that were given."""
    return {name: value for name, value in options.items() if value is not None}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="backlit", prog_name="backlit")
def commands() -> None:
    """Train a network on a table, and predict with it."""


SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
RATE = click.FloatRange(0, min_open=True)


@commands.command("train")
@click.argument("data")
@click.option("--target", help="The column to predict.")
@click.option("-o", "--output", help="Where the model goes (DATA.safetensors, in this folder).")
@click.option("--force", is_flag=True, help="Replace a model that is there.")
@click.option("--resume", is_flag=True, help="Continue after Ctrl-C, with the same options.")
@click.option("--task", type=click.Choice(["auto", "classification", "regression"]), default="auto")
@click.option(
    "--missing",
    type=click.Choice(["fill", "drop", "error"]),
    default="fill",
    help="Missing values: fill them in, leave such rows out, or refuse them.",
)
@click.option(
    "--hidden", type=Numbers(), help="Sizes of the hidden layers, such as 64,64; 0: none."
)
@click.option("--activation", type=Names(), default=(), help="Of the hidden layers; one, or each.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.0)
@click.option(
    "--optimizer",
    type=click.Choice(["adagrad", "adam", "adamw", "nadam", "radam", "rmsprop", "sgd"]),
    default="adam",
)
@click.option("--lr", type=RATE, help="Learning rate (the optimizer's usual one).")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data, at most.")
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--weight-decay", type=click.FloatRange(0), default=0.0)
@click.option("--patience", type=click.IntRange(1), help="Epochs without improvement to let pass.")
@click.option(
    "--validation", type=SHARE, default=0.15, help="Share of rows that decide when to stop."
)
@click.option("--test", type=SHARE, default=0.15, help="Share of rows for the final score.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the split and of the weights.")
@click.option("--show-source", is_flag=True, help="Print the flat source of one training step.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@reading_options
def train_command(
    force: bool,
    resume: bool,
    show_source: bool,
    quiet: bool,
    delimiter: str | None,
    decimal: str | None,
    encoding: str | None,
    **options: Any,
) -> int:
    """Train a network on DATA: a CSV, TSV or Parquet file, or iris, digits or mcycle."""
    from backlit.cli.job import Options, run_training
    from backlit.cli.progress import quiet_progress, shown_progress

    chosen = Options(**options)
    finished = run_training(
        chosen,
        given(delimiter=delimiter, decimal=decimal, encoding=encoding),
        (lambda text: None) if quiet else click.echo,
        quiet_progress() if quiet else shown_progress(),
        force=force,
        resume=resume,
        show_source=show_source,
    )
    if finished:
        return 0
    arguments: list[str] = click.get_current_context().obj
    again = [argument for argument in arguments if argument not in ("--force", "--resume")]
    click.echo(
        f"\nInterrupted. The best model so far is in {chosen.path}. To resume:\n"
        f"  {shlex.join(['backlit', *again, '--resume'])}"
    )
    return INTERRUPTED


@commands.command("predict")
@click.argument("model")
@click.argument("data")
@click.option("-o", "--output", help="A CSV file for the predictions (standard output).")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@reading_options
def predict_command(model: str, data: str, output: str | None, force: bool, **reading: Any) -> None:
    """Write MODEL's prediction for every row of DATA, with the classes' probabilities."""
    from backlit.cli.prediction import predict_table

    rows = predict_table(model, data, output, given(**reading), force)
    if output is not None:
        click.echo(f"{rows:,} predictions in {output}")


@commands.command("eval")
@click.argument("model")
@click.argument("data")
@reading_options
def eval_command(model: str, data: str, **reading: Any) -> None:
    """Score MODEL on DATA, which has the target column."""
    from backlit.cli.prediction import evaluate_table

    click.echo(evaluate_table(model, data, given(**reading)))


@commands.command("info")
@click.argument("model")
def info_command(model: str) -> None:
    """Tell what is inside MODEL."""
    from backlit.cli.report import model_facts
    from backlit.interop import read_model

    click.echo(model_facts(read_model(model)))
