"""What the command line prints about data, models and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backlit.cli.targets import Array, count

MOST_CLASSES = 15  # of a confusion matrix that is printed whole
WORST = 10  # confusions, where there are more classes


def share(value: float) -> str:
    """A share in per cent.

    >>> share(0.9756)
    '97.6 %'
    """
    return f"{100 * value:.1f} %"


def score_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Scores of several models, one line each.

    >>> print(score_table({"network": {"accuracy": 0.98}, "majority class": {"accuracy": 0.1}}))
    test scores      accuracy
    network            98.0 %
    majority class     10.0 %
    """
    names = list(next(iter(rows.values())))
    left = max(map(len, [*rows, "test scores"]))
    lines = [f"{'test scores':<{left}}" + "".join(f"{name:>11}" for name in names)]
    for model, scores in rows.items():
        cells = [
            share(value) if name == "accuracy" else f"{value:.4g}" for name, value in scores.items()
        ]
        lines.append(f"{model:<{left}}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def confusion(predicted: Array, true: Array, classes: Sequence[str]) -> str:
    """How often which class was taken for which.

    >>> print(confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), ["cat", "dog"]))
    rows: true class, columns: predicted class
         cat dog  found
    cat    1   1  50.0 %
    dog    0   1  100.0 %
    """
    n = len(classes)
    counts = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    if n > MOST_CLASSES:
        return worst_confusions(counts, classes)
    texts = [[f"{number}" for number in row] for row in counts]
    names = [name if len(name) <= 12 else name[:11] + "…" for name in classes]
    left = max(map(len, names))
    wide = max(left, *(len(text) for row in texts for text in row))
    lines = ["rows: true class, columns: predicted class"]
    lines.append(" " * (left + 1) + " ".join(f"{name:>{wide}}" for name in names) + "  found")
    for name, row, numbers in zip(names, texts, counts, strict=True):
        total = numbers.sum()
        found = share(numbers[len(lines) - 2] / total) if total else "–"
        cells = " ".join(f"{text:>{wide}}" for text in row)
        lines.append(f"{name:<{left}} {cells}  {found}")
    return "\n".join(lines)


def worst_confusions(counts: Array, classes: Sequence[str]) -> str:
    """The most frequent mistakes."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    pairs = [(int(place // len(classes)), int(place % len(classes))) for place in order]
    lines = ["most frequent confusions"]
    lines += [
        f"  {classes[i]} taken for {classes[j]}: {wrong[i, j]} of {counts[i].sum()}"
        for i, j in pairs
        if wrong[i, j]
    ]
    return "\n".join(lines) if len(lines) > 1 else "no confusions"


def residuals(predicted: Array, true: Array) -> str:
    """How predictions differ from the truth.

    >>> print(residuals(np.array([1.0, 2.0, 3.5]), np.array([1.0, 2.0, 3.0])))
    residuals (predicted − true): mean 0.1667, half of them between 0 and 0.25,
    smallest 0, largest 0.5
    """
    error = predicted - true
    low, high = np.quantile(error, [0.25, 0.75])
    return (
        f"residuals (predicted − true): mean {error.mean():.4g}, half of them between {low:.4g} "
        f"and {high:.4g},\nsmallest {error.min():.4g}, largest {error.max():.4g}"
    )


def details(task: str, predicted: Array, true: Array, classes: Sequence[str]) -> str:
    """The confusion matrix, or the residuals."""
    if task == "classification":
        return confusion(predicted.argmax(axis=1), true, classes)
    return residuals(predicted, true)


def class_balance(values: Array, classes: Sequence[str]) -> str:
    """How many classes there are, and which is the largest and the smallest.

    >>> class_balance(np.array([0, 0, 1, 0]), ["no", "yes"])
    "2 classes, from 'yes' (25.0 %) to 'no' (75.0 %)"
    """
    counts = np.bincount(values, minlength=len(classes))
    low, high = int(counts.argmin()), int(counts.argmax())
    if counts[low] == counts[high]:
        return f"{len(classes)} classes of equal size"
    return (
        f"{len(classes)} classes, from {classes[low]!r} ({share(counts[low] / len(values))}) to "
        f"{classes[high]!r} ({share(counts[high] / len(values))})"
    )


def gaps(missing: Mapping[str, int], rows: int) -> str:
    """Where values are missing.

    >>> gaps({"age": 2}, 8), gaps({}, 8)
    ("missing values: 'age' 2 (25.0 %)", 'missing values: none')
    """
    if not missing:
        return "missing values: none"
    shown = [f"{name!r} {n:,} ({share(n / rows)})" for name, n in list(missing.items())[:8]]
    rest = [f"and {count(len(missing) - 8, 'more column')}"] if len(missing) > 8 else []
    return f"missing values: {', '.join(shown + rest)}"


def model_facts(model: Any) -> str:
    """What is inside a model file."""
    numbers = [c["name"] for c in model.columns if c["kind"] == "number"]
    texts = [c for c in model.columns if c["kind"] == "text"]
    sizes, dropout = model.architecture["sizes"], model.architecture["dropout"]
    inner = zip(sizes[1:-1], model.architecture["activations"], strict=True)
    layers = [str(sizes[0]), *(f"{n} {f}" for n, f in inner), str(sizes[-1])]
    dropped = f", dropout {dropout:g}" if dropout else ""
    parameters = sum(int(np.size(array)) for array in model.weights.values())
    lines = [
        f"predicts  {model.target!r} ({model.task})",
        f"network   {' → '.join(layers)}{dropped}: {count(parameters, 'parameter')}",
    ]
    if model.classes:
        lines.append(f"classes   {', '.join(model.classes)}")
    if numbers:
        lines.append(f"numbers   {', '.join(numbers)}")
    for column in texts:
        lines.append(f"category  {column['name']}: {', '.join(column['categories'])}")
    told = model.training
    lines += [
        f"{name:<9} {told[name]}"
        for name in ("data", "rows", "options", "stopped")
        if told.get(name)
    ]
    if told.get("test"):
        lines += ["", score_table(told["test"])]
    return "\n".join(lines)
