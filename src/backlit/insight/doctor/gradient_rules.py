"""Rules about gradients: where they do not arrive, vanish, explode, or are all alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backlit.core.value import Value
from backlit.insight.doctor.examination import Array, Examination, Step, is_movement
from backlit.insight.doctor.findings import Finding, LayerGradient
from backlit.insight.text import number

FLAT = {"sign": "sign", "floor": "floor", "ceil": "ceil", "round": "round", "trunc": "trunc"}

VANISHING = 1e-4
EXPLODING = 1e4
LARGE_GRADIENT = 1e3


def rms(x: Array) -> float:
    """Root mean square."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(x.astype(np.float64))))) if x.size else 0.0


def layer_gradients(seen: Examination) -> tuple[LayerGradient, ...]:
    """Sizes of the weights (biases and scales apart) and of their gradients, in order of use."""
    used = [arg.id for step in seen.steps for arg in step.node.args]
    order = {seen.parameter_ids[id]: i for i, id in enumerate(used) if id in seen.parameter_ids}
    names = [name for name, (w, _) in seen.parameters.items() if w.ndim >= 2]
    names.sort(key=lambda name: order.get(name, -1))
    return tuple(
        LayerGradient(name, rms(w), 0.0 if g is None else rms(g))
        for name in names
        for w, g in (seen.parameters[name],)
    )


def no_gradient(seen: Examination) -> Iterator[Finding]:
    """Steps, signs and comparisons, whose slope is 0 or does not exist."""
    reported: set[str] = set()
    for step in seen.steps:
        if step.name not in FLAT or step.place in reported or step.gradient is None:
            continue
        reported.add(step.place)
        yield _flat(
            step.path or step.place,
            f"{step.name} is a staircase: its slope is 0 wherever it has one, so the gradient that "
            "arrives here is multiplied by 0.",
        )
    if not seen.learns:
        yield _flat(
            "the model's own code" if seen.parameters else "the model",
            "no gradient flows from the loss to any parameter: on the way there is a comparison, "
            "an argmax, a detach() or a no_grad() block."
            if seen.parameters
            else "the model has no parameter that requires a gradient.",
        )
        return
    for name, (_, g) in seen.parameters.items():
        if g is None:
            yield Finding(
                "not connected", 2, "the loss does not depend on it.", name,
                "A parameter that takes no part in the output, or only by way of detach() or a "
                "comparison, gets no gradient and never changes.",
                "Use it in forward, remove it, or freeze it on purpose (requires_grad_(False)).",
            )  # fmt: skip


def _flat(where: str, what: str) -> Finding:
    return Finding(
        "zero gradient", 3, what, where,
        "Gradient descent follows the slope. Through a step nothing below it learns; that is why "
        "networks of threshold units waited for smooth activations.",
        "Train with a smooth activation in its place (Sigmoid or Tanh for a step), or learn a "
        "single threshold unit with the perceptron rule (nn.Perceptron.fit).",
    )  # fmt: skip


def stacked_linear(seen: Examination) -> Iterator[Finding]:
    """A linear layer right behind another: together they are one linear layer."""
    for step in seen.steps:
        if step.name != "matmul" or _weight_of(seen, step) is None:
            continue
        before = _linear_source(seen, step.node.args[0])
        if before is None or _weight_of(seen, before) is None or before is step:
            continue
        first, second = before.path or before.place, step.path or step.place
        yield Finding(
            "stacked Linear", 2, f"between {first} and {second} there is no activation.", second,
            "W₂(W₁x + b₁) + b₂ = W₃x + b₃: two linear layers can do no more than one, and cost "
            "more.",
            f"Put an activation such as nn.ReLU() between {first} and {second}; or keep one "
            "(nn.collapse_linear gives it). A narrow middle on purpose is fine.",
        )  # fmt: skip


def _weight_of(seen: Examination, step: Step) -> str | None:
    """The parameter that a product multiplies by."""
    if step.name != "matmul":
        return None
    return next((name for a in step.node.args if (name := seen.parameter_of(a))), None)


def _linear_source(seen: Examination, value: Value) -> Step | None:
    """The product that a value comes from through additions of parameters and movement only."""
    while (step := seen.source(value)) is not None:
        if step.name == "matmul":
            return step
        if is_movement(step.node) or (
            step.name in ("add", "sub") and seen.parameter_of(step.node.args[1]) is not None
        ):
            value = step.node.args[0]
        else:
            return None
    return None


def symmetric_units(seen: Examination) -> Iterator[Finding]:
    """Units of one layer with the same weights and the same gradients: they stay copies."""
    for name, (w, g) in seen.parameters.items():
        if w.ndim < 2 or len(w) < 2 or g is None or w.size == len(w):
            continue
        alike = (w == w[:1]).all() and (g == g[:1]).all()
        if not alike:
            continue
        yield Finding(
            "symmetric units", 3,
            f"all {len(w)} units have the same weights and get the same gradient"
            + (" (0)." if not g.any() else "."),
            name,
            "Equal units stay equal: each step changes them alike, bit for bit. The layer can "
            "never do more than one unit.",
            "Start from small random numbers, which break the symmetry: nn.init.normal_(w, 0, "
            "0.01), or the layer's own reset_parameters().",
        )  # fmt: skip


def vanishing_or_exploding(seen: Examination) -> Iterator[Finding]:
    """Gradients that shrink to nothing, or grow beyond measure, on the way to the input."""
    bad = [name for name, (_, g) in seen.parameters.items() if g is not None and _broken(g)]
    if bad and np.isfinite(seen.loss):
        yield _not_finite(seen, bad)
        return
    layers = [x for x in layer_gradients(seen) if seen.parameters[x.path][1] is not None]
    if not layers or bad:
        return
    silent = [x for x in layers if x.gradient == 0]
    if silent:
        yield Finding(
            "vanishing gradient", 3,
            f"the gradient of {len(silent)} of {len(layers)} weights is exactly 0: "
            f"{', '.join(x.path for x in silent[:4])}{' …' if len(silent) > 4 else ''}.",
            silent[-1].path, "Their units are dead, saturated, cut off, or have zero weights "
            "above them; nothing there can learn.",
            "Look at the other findings for the cause; else start from random weights.",
        )  # fmt: skip
        return
    first, last = layers[0], layers[-1]
    ratio = first.gradient / last.gradient
    per_layer = ratio ** (1 / max(1, len(layers) - 1))
    on_the_way = (
        f"from {last.path} ({last.gradient:.1e}) to {first.path} ({first.gradient:.1e}) the "
        f"gradient changes by a factor {ratio:.1e}, about {per_layer:.2g} per layer."
    )
    why = (
        "Going back, the gradient is multiplied by each layer's Jacobian; a product of {0} "
        "factors {1} (0.9^100 = 2.7e-5, 1.1^100 = 1.4e4)."
    )
    if ratio < VANISHING:
        yield Finding(
            "vanishing gradient", 3 if ratio < VANISHING**2 else 2, on_the_way, first.path,
            why.format(len(layers), "below 1 vanishes"),
            "Use residual connections (nn.Residual), ReLU with Kaiming's initial weights "
            "(nn.init.kaiming_normal_), normalization layers, or fewer layers.",
        )  # fmt: skip
    elif ratio > EXPLODING or max(x.gradient for x in layers) > LARGE_GRADIENT:
        yield Finding(
            "exploding gradient", 3, on_the_way, first.path,
            why.format(len(layers), "above 1 explodes"),
            "Standardise the data, start from smaller weights (nn.init.xavier_normal_), clip the "
            "gradients (clip_grad=1.0 in fit), or add normalization layers.",
        )  # fmt: skip


def _broken(g: Array) -> bool:
    return not np.isfinite(g).all()


def _not_finite(seen: Examination, bad: list[str]) -> Finding:
    """The loss is finite and its gradient is not: find the op with the infinite slope."""
    culprit = None
    for step in reversed(seen.steps):
        if step.gradient is None or _broken(step.gradient):
            continue
        sources = [seen.source(a) for a in step.node.args]
        if any(s is not None and s.gradient is not None and _broken(s.gradient) for s in sources):
            culprit = step
            break
    where = bad[0] if culprit is None else culprit.place
    what = f"the gradient of {number(len(bad))} parameters is NaN or infinite"
    if culprit is not None:
        what += f", from {culprit.name} on: its slope is infinite here"
    return Finding(
        "exploding gradient", 3, what + ".", where,
        "The next step would make these weights NaN, and they never recover.",
        "Keep the argument of log, sqrt and division away from 0; use the losses that take "
        "scores (CrossEntropyLoss, BCEWithLogitsLoss); clip_grad does not help against NaN.",
    )  # fmt: skip
