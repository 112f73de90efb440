"""The object cache: whole entries or none, whatever happens to writers, bytes and folders."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backlit.native.machine import objectcache
from backlit.native.machine.objectcache import ObjectCache, default_directory

PAYLOAD = bytes(range(256)) * 64

# Rewrites a few large entries for ever; the parent kills it at a random moment.
WRITER = """
import runpy, sys
from pathlib import Path

# The module alone, without the package around it, so that 200 processes start quickly.
cache = runpy.run_path(sys.argv[2])["ObjectCache"](Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for k in range(4):
        cache.store(f"k{k}", bytes([k]) * 2_000_000)
"""


def kill_writers(folder: Path, rounds: int) -> None:
    chance = random.Random(0)
    for _ in range(rounds):
        writer = subprocess.Popen(
            [sys.executable, "-S", "-c", WRITER, str(folder), objectcache.__file__],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.02))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        reader = ObjectCache(folder)
        for k in range(4):
            assert reader.load(f"k{k}") in (None, bytes([k]) * 2_000_000)
        reader.store("after", PAYLOAD)
        assert reader.load("after") == PAYLOAD


def test_stored_is_loaded(tmp_path: Path) -> None:
    """What was stored is loaded, by another object and under its own key only."""
    ObjectCache(tmp_path).store("a", PAYLOAD)
    assert ObjectCache(tmp_path).load("a") == PAYLOAD
    assert ObjectCache(tmp_path).load("b") is None


def test_killed_writers_do_no_harm(tmp_path: Path) -> None:
    """kill -9 at a random moment of a write leaves whole entries, and the next write works."""
    kill_writers(tmp_path / "kernels", 10)


@pytest.mark.slow
def test_two_hundred_killed_writers_do_no_harm(tmp_path: Path) -> None:
    """The same, 200 times."""
    kill_writers(tmp_path / "kernels", 200)


@pytest.mark.parametrize("position", [0, 7, 8, 20, 39, 40, 1000, 40 + len(PAYLOAD) - 1])
def test_a_flipped_bit_is_seen(tmp_path: Path, position: int) -> None:
    """One wrong bit anywhere, header or payload, makes the entry absent and removes it."""
    cache = ObjectCache(tmp_path)
    cache.store("a", PAYLOAD)
    path = tmp_path / "a.obj"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    assert cache.load("a") is None
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 3, 39, 40, 500])
def test_a_cut_entry_is_seen(tmp_path: Path, size: int) -> None:
    """An entry that lost its end is absent."""
    cache = ObjectCache(tmp_path)
    cache.store("a", PAYLOAD)
    path = tmp_path / "a.obj"
    path.write_bytes(path.read_bytes()[:size])
    assert cache.load("a") is None


def test_an_entry_under_another_name_is_seen(tmp_path: Path) -> None:
    """A whole entry renamed to another key is not that key's."""
    cache = ObjectCache(tmp_path)
    cache.store("a", PAYLOAD)
    (tmp_path / "a.obj").rename(tmp_path / "b.obj")
    assert cache.load("b") is None


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """The oldest entries go once the limit is passed; a recently used one stays."""
    cache = ObjectCache(tmp_path, limit=4 * len(PAYLOAD))
    for k in range(8):
        cache.store(f"k{k}", PAYLOAD)
        os.utime(tmp_path / f"k{k}.obj", (time.time() - 10_000 + k,) * 2)
    assert cache.load("k0") == PAYLOAD
    ObjectCache(tmp_path, limit=4 * len(PAYLOAD)).store("new", PAYLOAD)
    left = {path.stem for path in tmp_path.glob("*.obj")}
    assert left == {"k0", "k7", "new"}


def test_strays_are_swept(tmp_path: Path) -> None:
    """A temporary file of a killed writer is removed when old, not while it may be in use."""
    for name, age in (("old.tmp", 7200), ("fresh.tmp", 0)):
        (tmp_path / name).write_bytes(b"part")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    ObjectCache(tmp_path).store("a", PAYLOAD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.obj", "fresh.tmp"]


def test_an_unusable_folder_is_no_error(tmp_path: Path) -> None:
    """Where the folder cannot be made, storing does nothing and loading finds nothing."""
    (tmp_path / "file").write_text("in the way")
    cache = ObjectCache(tmp_path / "file" / "kernels")
    cache.store("a", PAYLOAD)
    assert cache.load("a") is None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_open_to_everybody_is_not_trusted(tmp_path: Path) -> None:
    """Entries are run as code, so a folder in which anybody may write is left alone."""
    cache = ObjectCache(tmp_path)
    cache.store("a", PAYLOAD)
    tmp_path.chmod(0o777)
    assert cache.load("a") is None


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """BACKLIT_CACHE_DIR names the folder; without it, it is in the user's cache folder."""
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.delenv("BACKLIT_CACHE_DIR")
    assert default_directory().parts[-2:] == ("backlit", "kernels")
