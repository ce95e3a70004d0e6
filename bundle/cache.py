"""Folders of the user's cache that scripts make once. Used by bundle/build and the tests.

Needs only Python, on Linux or macOS.
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
    """The reason why a folder is not available."""


def folder_of(name, files):
    """Returns the folder NAME-HASH in the cache. The hash is that of the contents of `files`."""
    digest = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
    return CACHE / f"{name}-{digest[:12]}"


@contextlib.contextmanager
def locked(path, seconds, waiting=lambda: None):
    """Holds a lock between processes. Calls `waiting` once if another process holds it. Fails after `seconds`."""
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
