"""Nothing in the project names one machine's folders or a package registry's servers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.meta.sources import ROOT, project_files

# Written in halves, so that this file does not contain what it forbids.
HOSTS: tuple[str, ...] = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian",
)
HOSTS += ("conda." + "anaconda.org", "crates" + ".io/api", "download." + "pytorch.org")
FOLDERS = ("/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/tm" + "p/")
# A folder counts at the start of a path only: docs/home/index.md is no one's home.
FORBIDDEN = re.compile(
    "|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.\-~]){re.escape(f)}" for f in FOLDERS)])
)


def forbidden_lines(path: Path) -> list[str]:
    """The offending lines of a file, each with its number; none for a binary file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]


def test_no_file_names_a_registry_or_a_machine() -> None:
    """A clone works wherever it is, with whatever registry its user has configured."""
    files = project_files()
    assert Path(__file__) in files
    assert [line for path in files for line in forbidden_lines(path)] == []


@pytest.mark.parametrize(
    "line, is_forbidden",
    [
        ("https://" + HOSTS[0] + "/simple", True),
        ("open('" + FOLDERS[0] + "data.csv')", True),
        ("docs" + FOLDERS[3] + "index.md", False),
        ("../" + FOLDERS[0].strip("/") + "/data.csv", False),
    ],
)
def test_what_counts(line: str, is_forbidden: bool) -> None:
    """The check can fail, and lets relative paths through."""
    assert bool(FORBIDDEN.search(line)) == is_forbidden
