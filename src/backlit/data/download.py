"""Downloads: resumed where they broke off, checked, and moved into place whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from backlit.data.errors import DownloadError

CHUNK = 1 << 18
TIMEOUT_S = 30.0


def cache_folder() -> Path:
    """Where downloaded data go: $BACKLIT_DATA, else backlit in the user's cache folder."""
    if own := os.environ.get("BACKLIT_DATA"):
        return Path(own)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "backlit"


def fetch(
    urls: Sequence[str],
    path: Path,
    checksum: str,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    attempts: int = 3,
    pause_s: float = 1.0,
) -> Path:
    """Make sure that `path` is the file with this checksum, downloading it if it must be.

    What has arrived is kept in `path` + ".part", so a later call goes on from there. The file
    appears under its name only when it is whole and right.

    Args:
        urls: where it may be had, tried in turn.
        checksum: "sha256:…" or "md5:…", as its publisher gives it.
        progress: called with the bytes had so far and the bytes in all, None if unknown.
        attempts: rounds through the addresses, `pause_s` seconds apart.

    Raises:
        DownloadError: no address gave the file; it says what each answered.
    """
    if path.exists() and digest(path, checksum) == checksum:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    reasons: dict[str, str] = {}
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause_s)
        for url in urls:
            try:
                receive(url, part, progress)
            except (OSError, http.client.HTTPException) as error:
                reasons[url] = reason_of(error)
                continue
            found = digest(part, checksum)
            if found == checksum:
                os.replace(part, path)
                return path
            part.unlink()  # whatever it is, it cannot be continued
            reasons[url] = f"gave another file ({found} instead of {checksum})"
    told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    raise DownloadError(
        f"{path}: could not be downloaded. {told}. Check the connection, or put the file there "
        "yourself."
    )


def reason_of(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def receive(
    url: str, part: Path, progress: Callable[[int, int | None], None] | None = None
) -> None:
    """Download into `part`, going on after what it holds if the server can."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "backlit"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # the caller's address
    except urllib.error.HTTPError as error:
        if have and error.code == 416:
            return  # there is nothing after what we have: the checksum decides
        raise
    with answer:
        if have and answer.status != 206:
            have = 0  # the server sends everything again
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"broke off after {have} of {total} bytes")


def digest(path: Path, like: str) -> str:
    """The checksum of a file, of the kind of `like`: "md5:…" or "sha256:…"."""
    kind = like.split(":", 1)[0]
    with path.open("rb") as file:
        made = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return f"{kind}:{made.hexdigest()}"
