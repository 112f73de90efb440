"""`backlit.core.homes` says in which module every op, card and tensor method is defined.

`python -m tests.meta.test_homes` writes it anew.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
import types
from typing import Any

from tests.meta.sources import ROOT, SRC

HOMES = SRC / "backlit/core/homes.py"
HEAD = '"""Where what the op library defines is defined (`python -m tests.meta.test_homes`)."""\n'
WIDTH = 98
PACKAGES = ("core", "ops", "autograd", "compiler")


def assignment(name: str, lines: list[str]) -> str:
    return "\n".join([f'\n{name} = """\\', *lines, '"""\n'])


def lines_of(homes: dict[str, str]) -> list[str]:
    """``module: names`` for each module, over as many lines as the names take."""
    lines = []
    for home in sorted(set(homes.values())):
        start = f"{home.removeprefix('backlit.')}: "
        names = " ".join(sorted(name for name in homes if homes[name] == home))
        wrapped = textwrap.wrap(names, WIDTH - len(start), break_on_hyphens=False)
        lines += [start + line for line in wrapped]
    return lines


def of_tensor(public: dict[str, Any], methods: dict[str, Any]) -> list[str]:
    """The names of all that `Tensor` has: an op that takes ``input`` first is a method."""
    from backlit.ops.methods import COMPARISONS, OPERATORS, UNARY

    names = [f"__{name}__" for name in {**OPERATORS, **COMPARISONS, **UNARY}]
    names += [f"__{letter}{name}__" for name in OPERATORS for letter in "ri"]
    for name, call in public.items():
        made = call.op
        if "." not in name and made.method and made.parameters[:1] == ("input",):
            names += [name, name + "_"] if made.inplace else [name]
    return sorted({*names, *methods})


def noting(homes: dict[str, str]) -> type:
    """A kind of dictionary that notes which module is being imported when a name is set."""

    class Noting(dict[str, Any]):
        def __setitem__(self, name: str, value: Any) -> None:
            frame = sys._getframe()
            while frame.f_code.co_name != "<module>":
                assert frame.f_back is not None
                frame = frame.f_back
            homes[name] = frame.f_globals["__name__"]
            super().__setitem__(name, value)

    return Noting


def generate() -> str:
    """The text of `backlit.core.homes`; for a process in which `backlit` is not imported yet."""
    package = types.ModuleType("backlit")  # in place of the real one, which imports too much
    package.__path__ = [str(SRC / "backlit")]
    sys.modules["backlit"] = package
    registry = importlib.import_module("backlit.core.registry")
    found: dict[str, dict[str, str]] = {"PUBLIC": {}, "METHODS": {}, "PRIMITIVES": {}}
    registry.PUBLIC.defined = noting(found["PUBLIC"])()
    registry.METHODS.defined = noting(found["METHODS"])()
    primitives = importlib.import_module("backlit.core.primitive").PRIMITIVES
    assert not primitives.defined
    primitives.defined = noting(found["PRIMITIVES"])()
    for folder in PACKAGES:
        for path in sorted((SRC / "backlit" / folder).glob("*.py")):
            importlib.import_module(f"backlit.{folder}.{path.stem}".removesuffix(".__init__"))
    names = " ".join(of_tensor(registry.PUBLIC.defined, registry.METHODS.defined))
    return "".join(
        [
            HEAD,
            *(assignment(name, lines_of(homes)) for name, homes in found.items()),
            assignment("OF_TENSOR", textwrap.wrap(names, WIDTH)),
        ]
    )


def test_homes_are_where_things_are_defined() -> None:
    """Every name is defined in the module under which it is listed, and none is missing."""
    code = "from tests.meta import test_homes; print(test_homes.generate(), end='')"
    fresh = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SRC), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert HOMES.read_text() == fresh, "run `python -m tests.meta.test_homes`"


if __name__ == "__main__":
    HOMES.write_text(generate())
