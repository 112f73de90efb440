"""Compiled objects on disk, so that the next process starts with machine code.

One file per kernel: a magic word, the SHA-256 of key and payload, the payload. A reader that finds
anything else (a torn write, flipped bits, another kernel's file) treats the entry as absent, and
the kernel is rebuilt. Writers fill a temporary file and rename it, so a killed writer leaves at
most a stray temporary, which a later sweep removes. No locks: processes may race to write the same
entry, and all of them write the same bytes. Nothing here raises for a disk that is full, read-only
or gone: the cache then just does not help.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

_MAGIC = b"BACKLIT1"
_HEADER = len(_MAGIC) + 32
_SUFFIX = ".obj"
_STALE_SECONDS = 3600.0
_SWEEP_EVERY = 64
DEFAULT_LIMIT = 256 * 2**20


def default_directory() -> Path:
    """BACKLIT_CACHE_DIR, or `backlit/kernels` in the platform's cache folder of this user."""
    chosen = os.environ.get("BACKLIT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "backlit" / "kernels"


class ObjectCache:
    """A folder of checked entries, bounded in size, least recently used first to go.

    Args:
        directory: where entries live; created on the first write, for this user only.
        limit: bytes to keep; a sweep runs at the first write of a process and every 64 writes.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ObjectCache(Path(folder) / "kernels")
    ...     cache.store("k", b"machine code")
    ...     cache.load("k")
    b'machine code'
    """

    def __init__(self, directory: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.directory = directory
        self.limit = limit
        self._writes = 0

    def _path(self, key: str) -> Path:
        return self.directory / (key + _SUFFIX)

    def load(self, key: str) -> bytes | None:
        """The payload stored under `key`, or None if there is none that is whole."""
        path = self._path(key)
        try:
            if not self._trusted():
                return None
            data = path.read_bytes()
            payload = data[_HEADER:]
            if data[:_HEADER] != _MAGIC + _digest(key, payload):
                path.unlink(missing_ok=True)
                return None
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                os.utime(path)  # recently used
        except OSError:
            return None
        return payload

    def store(self, key: str, payload: bytes) -> None:
        """Write an entry, whole or not at all."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._trusted():
                return
            if self._writes % _SWEEP_EVERY == 0:
                self._sweep()
            self._writes += 1
            handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=self.directory)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + _digest(key, payload) + payload)
            os.replace(temporary, self._path(key))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _trusted(self) -> bool:
        """Entries are run as code: the folder must be ours, and not writable by everybody."""
        if sys.platform == "win32":
            return True
        status = self.directory.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o002

    def _sweep(self) -> None:
        """Delete strays and, if the limit is passed, the oldest entries down to 3/4 of it."""
        entries: list[tuple[float, int, str]] = []
        now = time.time()
        with os.scandir(self.directory) as listing:
            for item in listing:
                with contextlib.suppress(OSError):
                    status = item.stat()
                    if item.name.endswith(_SUFFIX):
                        entries.append((status.st_mtime, status.st_size, item.path))
                    elif item.name.endswith(".tmp") and now - status.st_mtime > _STALE_SECONDS:
                        os.unlink(item.path)
        total = sum(size for _, size, _ in entries)
        if total <= self.limit:
            return
        for _, size, path in sorted(entries):
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size
            if total <= self.limit * 3 // 4:
                return


def _digest(key: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(key.encode())
    digest.update(b"\0")
    digest.update(payload)
    return digest.digest()
