"""Rules about values: the data, what units put out, the loss before training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from backlit.insight.doctor.examination import Array, Examination, Step
from backlit.insight.doctor.findings import Finding
from backlit.insight.text import number

SATURATION = {"sigmoid": 5.0, "tanh": 3.0}
"""The |z| beyond which the slope is below a hundredth: σ'(5) = 0.0066, tanh'(3) = 0.0099."""
SATURATED_SHARE = 0.3
DEAD_SHARE = 0.4
LARGE_MEAN, LARGE_SPREAD = 2.0, 10.0
UNEVEN = 100.0


def per_unit(values: Array) -> Array:
    """(samples, units): the last dim holds the units; for images (N, C, H, W) the channels do."""
    if values.ndim == 4:
        values = np.moveaxis(values, 1, -1)
    return values.reshape(-1, values.shape[-1] if values.ndim else 1)


def raw_data(seen: Examination) -> Iterator[Finding]:
    """Inputs far from mean 0 and standard deviation 1, or on very different scales."""
    for x in seen.inputs:
        if x.dtype.kind != "f" or x.ndim < 2:
            continue
        columns = x.reshape(len(x), -1).astype(np.float64)
        if not np.isfinite(columns).all():
            continue
        mean, spread = columns.mean(axis=0), columns.std(axis=0)
        varying = spread[spread > 0]
        farthest = int(np.abs(mean).argmax())
        uneven = varying.size > 1 and varying.max() > UNEVEN * varying.min()
        is_large = abs(mean[farthest]) > LARGE_MEAN or (spread > LARGE_SPREAD).any()
        if not (is_large or uneven):
            continue
        what = (
            f"feature {farthest} has mean {number(float(mean[farthest]))}; the features' standard "
            f"deviations run from {number(float(spread.min()))} to {number(float(spread.max()))}."
        )
        yield Finding(
            "raw data", 2, what, "data",
            "The step along a weight is proportional to its input: large features make large "
            "steps, small ones hardly any, so no learning rate suits all. Very large numbers "
            "saturate units, and overflow to infinity and NaN.",
            "Standardise each feature to mean 0 and deviation 1: z = (x − μ)/σ, with "
            "backlit.data.Standardize() fitted on the training part.",
        )  # fmt: skip


def positive_inputs(seen: Examination) -> Iterator[Finding]:
    """A weighted sum over inputs that are never negative."""
    reported: set[str] = set()
    for step in seen.steps:
        if step.name != "matmul" or step.path in reported:
            continue
        if not any(seen.parameter_of(a) for a in step.node.args):
            continue
        x, value = step.inputs[0], step.node.args[0]
        if x is None or x.size < 2 or not (x.min() >= 0 and (x > 0).mean() > 0.2):
            continue
        from_data, origin = seen.is_data(value), seen.source(seen.unmoved(value))
        if not from_data and (origin is None or origin.name != "sigmoid"):
            continue  # ReLU's zeros are its price
        reported.add(step.path)
        mean = number(float(x.mean(dtype=np.float64)))
        yield Finding(
            "inputs all positive", 2 if from_data else 1,
            f"all {number(x.size)} inputs of this layer are ≥ 0 (mean {mean})"
            + ("." if from_data else ": the sigmoid before it gives numbers between 0 and 1."),
            step.path or "the model's own code",
            "∂L/∂w_i = upstream · x_i: with every x_i ≥ 0, all weights of a unit get gradients of "
            "one sign for each sample. They can only rise together or fall together, and reach a "
            "mixed target in a zigzag.",
            "Centre the data at 0 (backlit.data.Standardize)." if from_data
            else "Use tanh, which is centred at 0, or ReLU with Kaiming's initial weights.",
        )  # fmt: skip


def saturated_units(seen: Examination) -> Iterator[Finding]:
    """Sigmoid and tanh units whose slope is nearly 0."""
    for step in seen.steps:
        limit = SATURATION.get(step.name)
        z = step.inputs[0] if step.inputs else None
        if limit is None or z is None or not step.node.outs[0].requires_grad:
            continue
        flat = np.abs(per_unit(z)) > limit
        share = float(flat.mean())
        if share <= SATURATED_SHARE:
            continue
        whole = int(flat.all(axis=0).sum())
        derivative = {"sigmoid": "σ'(5) = 0.0066", "tanh": "tanh'(3) = 0.0099"}[step.name]
        yield Finding(
            "saturated units", 3 if share > 0.95 else 2,
            f"{share:.0%} of the {step.name} inputs have |z| > {limit:g} (largest "
            f"{number(float(np.abs(z).max()))}); {whole} of {flat.shape[1]} units for all samples.",
            step.path or step.place,
            f"There the curve is flat ({derivative}, and less beyond), so next to no gradient "
            "passes to the weights below: they stop learning whatever the error.",
            "Standardise the inputs; start with smaller weights (nn.init.xavier_normal_); or use "
            "ReLU, which does not saturate for positive z.",
        )  # fmt: skip


def dead_relus(seen: Examination) -> Iterator[Finding]:
    """ReLU units that put out 0 for every sample."""
    for step in seen.steps:
        if step.name != "relu" or len(per_unit(step.out)) < 8:
            continue
        dead = (per_unit(step.out) == 0).all(axis=0)
        share = float(dead.mean())
        if share < DEAD_SHARE:
            continue
        yield Finding(
            "dead ReLUs", 3 if share == 1 else 2,
            f"{int(dead.sum())} of {dead.size} units put out 0 for all "
            f"{number(len(per_unit(step.out)))} samples.",
            step.path or step.place,
            "Where z < 0 the slope of ReLU is 0. A unit that is negative for every sample gets no "
            "gradient, so it stays dead.",
            "Lower the learning rate (a large step often kills units); start biases at 0 and "
            "weights by nn.init.kaiming_normal_; or use LeakyReLU, whose slope is never 0.",
        )  # fmt: skip


def loss_at_start(seen: Examination) -> Iterator[Finding]:
    """Cross-entropy of C classes that is not about log C before training."""
    picked = next((s for s in reversed(seen.steps) if s.name == "pick"), None)
    scores = None if picked is None else seen.source(picked.node.args[0])
    if picked is None or scores is None or scores.name != "log_softmax":
        return
    classes = scores.out.shape[int(scores.node.attrs.get("dim", -1))]
    expected, found = math.log(classes), float(-picked.out.mean())
    is_high = found > expected + max(1.0, 0.5 * expected)  # small networks vary
    if not math.isfinite(found) or not (is_high or found < 0.5 * expected):
        return
    seen_text = (
        f"the cross-entropy is {number(found)}; equal chances for {classes} classes give "
        f"log {classes} = {number(expected)}."
    )
    if is_high:
        yield Finding(
            "loss at start", 2, seen_text, "loss",
            "Before training a network knows nothing and should say so. It is sure of wrong "
            "answers instead: scores are too large, and the first steps go into unlearning that.",
            "Start the last layer with smaller weights and zero bias; standardise the data; do "
            "not apply softmax before CrossEntropyLoss, which contains it.",
        )  # fmt: skip
    else:
        yield Finding(
            "loss at start", 1, seen_text, "loss",
            "The network knows something already. That is right if it was trained before, and "
            "wrong if it is new: then the input gives the answer away.",
            "If the network is new, look for a feature that contains the target.",
        )  # fmt: skip


def not_finite(seen: Examination) -> Iterator[Finding]:
    """The first NaN or infinity: in the data, the weights, or at the op that made it."""
    for x in seen.inputs:
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            rows = int((~np.isfinite(x.reshape(len(x), -1))).any(axis=1).sum()) if x.ndim else 1
            yield Finding(
                "NaN or infinity", 3, f"{rows} of {len(x)} rows hold NaN or infinite values.",
                "data", "One NaN makes the loss NaN, and with it every weight.",
                "Remove these rows, or fill the gaps (with the feature's mean, say).",
            )  # fmt: skip
            return
    for name, (w, _) in seen.parameters.items():
        if not np.isfinite(w).all():
            yield Finding(
                "NaN or infinity", 3,
                f"{int((~np.isfinite(w)).sum())} of {number(w.size)} values are NaN or infinite.",
                name, "From there it spreads to everything that is computed: training exploded.",
                "Start anew with a learning rate ten times smaller, and clip_grad=1.0.",
            )  # fmt: skip
            return
    for step in seen.steps:
        if np.isfinite(step.out).all() or not _finite_inputs(step):
            continue
        ranges = [
            f"{number(float(a.min()))} … {number(float(a.max()))}"
            for a in step.inputs
            if a is not None and a.size and a.dtype.kind == "f"
        ]
        kind = "NaN" if np.isnan(step.out).any() else "infinity"
        yield Finding(
            "NaN or infinity", 3,
            f"{step.name} makes {kind} of finite inputs ({', '.join(ranges) or 'numbers'}).",
            step.place, "From there it spreads to the loss and, by the gradient, to every weight.",
            {
                "log": "Work with log-probabilities (log_softmax, CrossEntropyLoss, "
                "BCEWithLogitsLoss), which never take the logarithm of 0.",
                "exp": "exp overflows beyond 88 in float32: subtract the largest input first, as "
                "softmax does.",
            }.get(step.name, "Standardise the data, and keep weights and learning rate small."),
        )  # fmt: skip
        return


def _finite_inputs(step: Step) -> bool:
    return all(a is None or a.dtype.kind != "f" or np.isfinite(a).all() for a in step.inputs)
