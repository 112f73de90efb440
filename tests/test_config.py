"""Flags: where their values come from, how they are set and restored, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from backlit import config
from backlit.errors import ArgumentError
from tests.meta.sources import ROOT


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "eager",
            "yes",
            (
                "BACKLIT_EAGER='yes': expected 0 or 1 (compute every op at once instead of "
                "recording it)."
            ),
        ),
        (
            "tier",
            "warm",
            (
                "BACKLIT_TIER='warm': expected auto, cold, hot (what runs programs: NumPy source "
                "(cold), native code (hot), or both in turn)."
            ),
        ),
    ],
)
def test_environment_that_is_refused(
    name: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that holds none of its values is an error that lists them."""
    monkeypatch.setenv(config.FLAGS[name].environment, text)
    with pytest.raises(ArgumentError) as caught:
        config._from_environment(config.FLAGS[name])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("variable", "text", "flag", "value"),
    [("BACKLIT_VERIFY", "1", "verify", True), ("BACKLIT_TIER", "cold", "tier", "cold")],
)
def test_environment_sets_flags(variable: str, text: str, flag: str, value: object) -> None:
    """The variables are read when the package is imported."""
    code = f"from backlit import config; print(repr(config.get({flag!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), variable: text},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{value!r}\n"


def test_flag_that_does_not_exist() -> None:
    """The error lists the flags there are."""
    with pytest.raises(ArgumentError) as caught:
        config.set_flag("warp", True)
    assert str(caught.value) == (
        "unknown flag 'warp'; the flags are compare, eager, tier, verify, zero_upstream."
    )


def test_value_that_a_flag_does_not_take() -> None:
    """A misspelt tier is an error, and the flag stays as it was."""
    before = config.get("tier")
    with pytest.raises(ArgumentError) as caught:
        config.set_flag("tier", "warm")
    assert str(caught.value) == "flag 'tier': expected one of auto, cold, hot, got 'warm'."
    assert config.get("tier") == before


def test_unknown_flag_leaves_the_others_as_they_were() -> None:
    """`flags` puts back what it had set before it met the name it does not know."""
    with pytest.raises(ArgumentError), config.flags(zero_upstream=True, warp=True):
        pass
    assert config.get("zero_upstream") is False


def test_flags_are_restored_after_an_error() -> None:
    """The values hold inside the block only."""

    def fail_inside() -> None:
        with config.flags(zero_upstream=True):
            assert config.get("zero_upstream") is True
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert config.get("zero_upstream") is False


def test_listeners_hear_of_changes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting a flag to what it is calls nobody."""
    calls: list[object] = []
    monkeypatch.setattr(config, "listeners", [lambda: calls.append(config.get("zero_upstream"))])
    config.set_flag("zero_upstream", False)
    assert calls == []
    with config.flags(zero_upstream=True):
        pass
    assert calls == [True, False]


def test_table_has_one_row_per_flag() -> None:
    """The docs' table shows name, variable, default and meaning of each flag."""
    header, rule, *rows = config.table().splitlines()
    assert header == "| flag | environment | default | what it does |"
    assert rule == "|---|---|---|---|"
    assert len(rows) == len(config.FLAGS)
    assert rows[0] == (
        "| `eager` | `BACKLIT_EAGER` | `False` | compute every op at once instead of recording it |"
    )


def test_documented_settings_are_the_flags() -> None:
    """docs/profiling.md has the table of all flags."""
    text = (ROOT / "docs" / "profiling.md").read_text(encoding="utf-8")
    assert config.table() in text
