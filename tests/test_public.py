"""The package as its users import it: names, hints for unknown ones, and what is loaded when."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import backlit
import backlit as torch


@pytest.mark.parametrize("name", backlit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """What `__all__` promises can be had from the package."""
    assert getattr(torch, name) is not None


def test_public_names_are_sorted_and_unique() -> None:
    """`dir` shows the public names, each once."""
    assert backlit.__all__ == sorted(set(backlit.__all__))
    assert dir(backlit) == backlit.__all__


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensr", "module 'backlit' has no attribute 'tensr'; did you mean 'tensor'?"),
        ("softmx", "module 'backlit' has no attribute 'softmx'; did you mean 'softmax'?"),
        ("qqqqqq", "module 'backlit' has no attribute 'qqqqqq'"),
    ],
)
def test_unknown_name_gets_a_hint(name: str, message: str) -> None:
    """A name that is not there raises with the nearest that is, if one is near."""
    with pytest.raises(AttributeError) as caught:
        getattr(backlit, name)
    assert str(caught.value) == message


def test_data_is_also_where_pytorch_has_it() -> None:
    """`utils.data` is another place of the same classes."""
    assert backlit.utils.data.DataLoader is backlit.data.DataLoader
    assert backlit.utils.data.Dataset is backlit.data.Dataset


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_import_loads_what_is_needed_at_once_only() -> None:
    """Packages that not every program uses wait for their first use."""
    loaded = loaded_by("import backlit")
    assert "backlit.core.tensor" in loaded
    assert {f"backlit.{name}" for name in backlit._LAZY} & loaded == set()
    assert {"llvmlite", "torch", "sklearn", "matplotlib", "backlit.native"} & loaded == set()
    assert {name for name in loaded if name.startswith("backlit.ops.")} == {"backlit.ops.bind"}
    assert {"dataclasses", "difflib", "numpy.random"} & loaded == set()


def test_importing_everything_records_nothing() -> None:
    """A family may be imported in the middle of any recording: it adds nothing to it."""
    code = (
        "import backlit; names = [getattr(backlit, n) for n in backlit.__all__]\n"
        "from backlit.core.era import local; era = local.era\n"
        "assert (era.sequence, era.here.depth, era.inputs, era.pending) == (1, 0, [], [])"
    )
    assert "backlit.ops.special" in loaded_by(code)


def test_star_import_brings_every_public_name() -> None:
    """`from backlit import *` gives all that `__all__` lists."""
    names: dict[str, object] = {}
    exec("from backlit import *", names)
    assert [name for name in backlit.__all__ if names[name] is not getattr(backlit, name)] == []


@pytest.mark.parametrize("name", backlit._LAZY)
def test_lazy_package_is_loaded_at_first_use(name: str) -> None:
    """The first look at a lazy name imports its module."""
    assert f"backlit.{name}" in loaded_by(f"import backlit\nbacklit.{name}")
