"""Random programs: a Hypothesis strategy that writes small tensor programs as Python source.

A program uses `m` for the library, so that the same text runs in Backlit and in PyTorch. The writer
follows shapes, so that most lines are valid; those that are not must fail in every library alike.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

SHAPES = [(2, 3), (3,), (2, 1), (), (1, 3), (3, 2), (2, 2, 3), (0, 3)]
UNARY = ["tanh()", "sigmoid()", "exp()", "relu()", "neg()", "square()", "abs()", "sin()", "clone()"]
MOST_VARIABLES = 24


@dataclass(frozen=True)
class Variable:
    """What the writer knows of one variable.

    Attributes:
        kind: "f" floating, "i" integer, "b" boolean.
        dense: whether its elements lie one after the other in PyTorch's memory too.
        leaf: whether it is a leaf that requires grad, or a view of one.
        base: name of the variable whose memory it shares; its own name if none.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "f"
    dense: bool = True
    leaf: bool = False
    base: str = ""
    repeated: bool = False


class Writer:
    """Writes one program, a statement at a time."""

    def __init__(self, draw: Callable[[st.SearchStrategy], object]) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.variables: list[Variable] = []
        self.count = 0
        self.indent = ""

    def text(self) -> str:
        return "\n".join(self.lines)

    # -- drawing ------------------------------------------------------------------------------

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))  # type: ignore[return-value]

    def choice(self, options: list) -> object:
        return options[self.integer(0, len(options) - 1)]

    def number(self) -> str:
        return str(self.integer(-8, 8) / 4)

    def pick(self, test: Callable[[Variable], bool] = lambda v: True) -> Variable | None:
        found = [v for v in self.variables if test(v)]
        return self.choice(found) if found else None  # type: ignore[return-value]

    def floating(self) -> Variable | None:
        return self.pick(lambda v: v.kind == "f")

    # -- writing ------------------------------------------------------------------------------

    def write(self, line: str) -> None:
        self.lines.append(self.indent + line)

    def new(
        self, expression: str, shape: tuple[int, ...], kind: str = "f", **more: object
    ) -> Variable:
        n = self.count
        self.count += 1
        name = string.ascii_lowercase[n % 12] + (str(n // 12) if n >= 12 else "")
        made = Variable(name, shape, kind, **more)  # type: ignore[arg-type]
        made = replace(made, base=made.base or name)
        self.write(f"{name} = {expression}")
        self.variables.append(made)
        return made


def numel(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    rank = max(len(x), len(y))
    out = []
    for a, b in zip((1,) * (rank - len(x)) + x, (1,) * (rank - len(y)) + y, strict=True):
        if a != b and 1 not in (a, b):
            return None
        out.append(b if a == 1 else a)
    return tuple(out)


def partner(w: Writer, v: Variable) -> Variable | None:
    """A variable whose shape broadcasts with that of ``v``."""
    return w.pick(lambda o: broadcast(v.shape, o.shape) is not None and o.kind != "b")


def fitting(w: Writer, v: Variable, shape: tuple[int, ...] | None) -> Variable | None:
    """A floating variable that broadcasts to ``shape`` and shares no memory with ``v``.

    Where a tensor is written from an overlapping part of itself, PyTorch refuses or not as its
    memory happens to lie; programs leave that out.
    """
    if shape is None:
        return None
    return w.pick(
        lambda o: broadcast(shape, o.shape) == shape and o.kind == "f" and o.base != v.base
    )


# -- statements -----------------------------------------------------------------------------------


def make(w: Writer) -> None:
    shape = w.choice(SHAPES)
    assert isinstance(shape, tuple)
    start, step = w.number(), w.choice(["0.5", "0.25", "-0.75"])
    grad = w.choice(["True", "True", "False"])
    values = f"m.tensor([{start} + {step} * i for i in range({numel(shape)})], dtype=m.float64)"
    w.new(f"{values}.reshape({shape}).clone().requires_grad_({grad})", shape, leaf=grad == "True")


def unary(w: Writer) -> None:
    v = w.floating()
    if v is not None:
        w.new(f"{v.name}.{w.choice(UNARY)}", v.shape)


def binary(w: Writer) -> None:
    v = w.floating()
    o = partner(w, v) if v is not None else None
    if v is None or o is None:
        return
    form = w.choice(["{} + {}", "{} - {}", "{} * {}", "{} / ({} * {} + 1)", "m.maximum({}, {})"])
    assert isinstance(form, str)
    shape = broadcast(v.shape, o.shape)
    assert shape is not None
    text = (
        form.format(v.name, o.name, o.name)
        if form.count("{}") == 3
        else form.format(v.name, o.name)
    )
    if "maximum" in form and o.kind != "f":
        return
    w.new(text, shape)


def with_number(w: Writer) -> None:
    v = w.floating()
    if v is not None:
        form = w.choice(["{} + {}", "{} * {}", "{1} - {0}", "{} ** 2", "{} / 3"])
        assert isinstance(form, str)
        w.new(form.format(v.name, w.number()), v.shape)


def matmul(w: Writer) -> None:
    v = w.pick(lambda v: v.kind == "f" and len(v.shape) == 2)
    if v is None:
        return
    o = w.pick(lambda o: o.kind == "f" and len(o.shape) == 2 and o.shape[0] == v.shape[1])
    if o is not None:
        w.new(f"{v.name} @ {o.name}", (v.shape[0], o.shape[1]))


def reduce(w: Writer) -> None:
    v = w.floating()
    if v is None:
        return
    if not v.shape or w.integer(0, 1):
        w.new(f"{v.name}.sum()", ())
        return
    d = w.integer(0, len(v.shape) - 1)
    keep = w.choice(["True", "False"])
    middle = (1,) if keep == "True" else ()
    w.new(f"{v.name}.sum({d}, keepdim={keep})", (*v.shape[:d], *middle, *v.shape[d + 1 :]))


def view(w: Writer) -> None:
    v = w.pick(lambda v: v.kind == "f" and bool(v.shape))
    if v is None:
        return
    same = {"base": v.base, "leaf": v.leaf, "repeated": v.repeated}
    rank, first = len(v.shape), v.shape[0]
    kind = w.choice(
        ["row", "slice", "step", "transpose", "flat", "unsqueeze", "expand", "column", "none"]
    )
    if kind == "row" and first:
        i = w.integer(-first, first - 1)
        w.new(f"{v.name}[{i}]", v.shape[1:], dense=v.dense, **same)
    elif kind == "slice":
        a = w.integer(0, first)
        b = w.integer(a, first)
        w.new(f"{v.name}[{a}:{b}]", (b - a, *v.shape[1:]), dense=v.dense, **same)
    elif kind == "step":
        w.new(f"{v.name}[::2]", ((first + 1) // 2, *v.shape[1:]), dense=False, **same)
    elif kind == "transpose" and rank >= 2:
        w.new(f"{v.name}.transpose(0, 1)", (v.shape[1], first, *v.shape[2:]), dense=False, **same)
    elif kind == "flat" and v.dense:
        w.new(f"{v.name}.view(-1)", (numel(v.shape),), **same)
    elif kind == "unsqueeze":
        w.new(f"{v.name}.unsqueeze(0)", (1, *v.shape), dense=v.dense, **same)
    elif kind == "expand" and first == 1:
        same["repeated"] = True
        w.new(f"{v.name}.expand({(2, *v.shape[1:])})", (2, *v.shape[1:]), dense=False, **same)
    elif kind == "column" and rank >= 2 and v.shape[-1]:
        i = w.integer(0, v.shape[-1] - 1)
        w.new(f"{v.name}[..., {i}]", v.shape[:-1], dense=False, **same)
    elif kind == "none" and rank >= 2:
        w.new(f"{v.name}[:, None]", (first, 1, *v.shape[1:]), dense=v.dense, **same)


def gather(w: Writer) -> None:
    """Reads with index tensors and masks: copies, not views."""
    v = w.pick(lambda v: v.kind == "f" and bool(v.shape) and v.shape[0] > 0)
    if v is None:
        return
    kind = w.choice(["list", "mask", "where"])
    top = v.shape[0] - 1
    if kind == "list":
        i, j = w.integer(-top - 1, top), w.integer(0, top)
        w.new(f"{v.name}[m.tensor([{i}, {j}, {j}])]", (3, *v.shape[1:]))
    elif kind == "mask":  # the size depends on values: only its sum is used afterwards
        w.new(f"{v.name}[{v.name} > {w.number()}].sum()", ())
    else:
        w.new(f"m.where({v.name} > {w.number()}, {v.name}, {v.name} * {w.number()})", v.shape)


def writable(w: Writer) -> Variable | None:
    return w.pick(lambda v: v.kind == "f" and not v.repeated and not v.leaf)


def change(w: Writer) -> None:
    """In-place arithmetic on tensors and views."""
    v = writable(w)
    if v is None:
        return
    o = fitting(w, v, v.shape)
    kind = w.choice(["add_", "mul_", "+=", "*=", "-=", "copy_", "zero_", "fill_", "exp_", "number"])
    if kind == "zero_":
        w.write(f"{v.name}.zero_()")
    elif kind == "fill_":
        w.write(f"{v.name}.fill_({w.number()})")
    elif kind == "exp_":
        w.write(f"{v.name}.tanh_()")
    elif kind == "number" or o is None:
        w.write(f"{v.name} *= {w.number()}")
    elif isinstance(kind, str) and kind.endswith("_"):
        w.write(f"{v.name}.{kind}({o.name})")
    else:
        w.write(f"{v.name} {kind} {o.name}")


def index_write(w: Writer) -> None:
    v = w.pick(lambda v: v.kind == "f" and not v.repeated and not v.leaf and bool(v.shape))
    if v is None:
        return
    first = v.shape[0]
    places: list[tuple[str, tuple[int, ...] | None]] = [
        ("...", v.shape),
        (":1", (min(1, first), *v.shape[1:])),
        ("::2", ((first + 1) // 2, *v.shape[1:])),
        (f"{v.name} > {w.number()}", None),
    ]
    if first:
        places += [("0", v.shape[1:]), ("-1", v.shape[1:]), (f"m.tensor([{first - 1}, 0])", None)]
    if len(v.shape) >= 2 and v.shape[-1]:
        places.append(("..., 0", v.shape[:-1]))
    place, shape = w.choice(places)  # type: ignore[misc]
    o = fitting(w, v, shape)
    value = o.name if o is not None and w.integer(0, 2) else w.number()
    operator = w.choice(["=", "=", "+=", "*="])
    w.write(f"{v.name}[{place}] {operator} {value}")


def convert(w: Writer) -> None:
    v = w.floating()
    if v is None:
        return
    kind = w.choice(["float", "double", "long", "compare", "integers"])
    if kind == "float":
        w.new(f"{v.name}.float().double()", v.shape)
    elif kind == "double":
        w.new(
            f"{v.name}.double()",
            v.shape,
            base=v.base,
            leaf=v.leaf,
            dense=v.dense,
            repeated=v.repeated,
        )
    elif kind == "long":
        w.new(f"({v.name}.detach().tanh() * 3).long()", v.shape, "i")
    elif kind == "compare":
        w.new(f"({v.name} > {w.number()}).double()", v.shape)
    else:
        w.new(f"m.tensor({w.integer(-3, 3)})", (), "i")


def detach(w: Writer) -> None:
    v = w.floating()
    if v is not None:
        more = {"base": v.base, "dense": v.dense, "repeated": v.repeated}
        w.new(f"{v.name}.detach()", v.shape, **more)


def look(w: Writer) -> None:
    v = w.pick()
    if v is None:
        return
    form = w.choice(["{}.tolist()", "{}.sum().item()", "repr({}.shape)", "{}.requires_grad"])
    assert isinstance(form, str)
    w.write(f"seen.append({form.format(v.name)})")


def drop(w: Writer) -> None:
    v = w.pick()
    if v is not None and len(w.variables) > 1:
        w.write(f"del {v.name}")
        w.variables.remove(v)


def branch(w: Writer) -> None:
    v = w.floating()
    o = w.floating()
    if v is None or o is None:
        return
    w.write(f"if {v.name}.sum() > {w.number()}:")
    w.indent = "    "
    known = list(w.variables)
    name = w.new(f"{o.name} * {w.number()}", o.shape).name
    w.indent = ""
    w.write("else:")
    w.write(f"    {name} = {o.name}.sin() + {w.number()}")
    w.variables = [*known, w.variables[-1]]


def without_grad(w: Writer) -> None:
    """A change, or a new tensor, under `no_grad`; leaves may be changed there."""
    v = w.pick(lambda v: v.kind == "f" and not v.repeated)
    if v is None:
        return
    w.write("with m.no_grad():")
    w.indent = "    "
    kind = w.choice(["change", "new", "step"])
    o = fitting(w, v, v.shape)
    if kind == "new":
        w.new(f"{v.name} * {w.number()}", v.shape)
    elif kind == "step" and o is not None:
        w.write(f"{v.name} -= 0.25 * {o.name}")
    else:
        w.write(f"{v.name} *= {w.number()}")
    w.indent = ""


def loop(w: Writer) -> None:
    v = writable(w)
    if v is None:
        return
    n = w.integer(1, 3)
    w.write(f"for i in range({n}):")
    w.write(f"    {v.name} {w.choice(['+=', '*='])} {w.number()} * i")


def backward(w: Writer) -> None:
    v = w.floating()
    if v is None:
        return
    retain = w.choice(["", "retain_graph=True"])
    w.write(f"({v.name} * 0.5).sum().backward({retain})")


def gradient(w: Writer) -> None:
    v = w.floating()
    x = w.floating()
    if v is None or x is None:
        return
    w.write(f"if {v.name}.requires_grad and {x.name}.requires_grad:")
    create = w.choice(["True", "False"])
    w.write(
        f"    gradient, = m.autograd.grad({v.name}.sum(), [{x.name}], retain_graph=True, "
        f"create_graph={create}, "
        "allow_unused=True)"
    )
    w.write("    seen.append(None if gradient is None else gradient.tolist())")


STATEMENTS: list[Callable[[Writer], None]] = [
    *[make] * 2, *[unary] * 3, *[binary] * 4, *[with_number] * 2, matmul, *[reduce] * 2,
    *[view] * 5, *[gather] * 2, *[change] * 5, *[index_write] * 4, *[convert] * 2, detach,
    *[look] * 2, *[drop] * 2, branch, *[without_grad] * 2, loop, backward, gradient,
]  # fmt: skip


@st.composite
def programs(draw: Callable[[st.SearchStrategy], object], most: int = 14) -> str:
    """Source of a program that fills the list ``seen`` and leaves tensors in its variables."""
    w = Writer(draw)
    make(w)
    for statement in draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=most)):  # type: ignore[attr-defined]
        if w.count < MOST_VARIABLES:
            statement(w)
    return w.text()
