"""A folder of the user's cache that a script makes once, for bundle/build and the tests.

Works on Linux and macOS with nothing but Python.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ops-runbook"
BETWEEN_ATTEMPTS = 0.1  # seconds


class CacheError(Exception):
    """Why a folder cannot be had."""


def folder_of(name, files):
    """The folder NAME-HASH in the cache; the hash is of the contents of `files`."""
    digest = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
    return CACHE / f"{name}-{digest[:12]}"


@contextlib.contextmanager
def locked(path, seconds, waiting=lambda: None):
    """Holds a lock that other processes respect. Calls `waiting` once if another process holds it; fails after `seconds`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        until = time.monotonic() + seconds
        waits = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waits:
                    waits = True
                    waiting()
                if time.monotonic() > until:
                    raise CacheError(f"another process has held {path} for {seconds} seconds") from None
                time.sleep(BETWEEN_ATTEMPTS)
        yield
