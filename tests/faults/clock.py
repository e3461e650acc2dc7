"""Set the clock of processes wrong, with Debian's libfaketime."""

from __future__ import annotations

from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


def library() -> str:
    """Return the path of libfaketime, empty where it is not installed."""
    found = (path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/")))
    return str(next(found, ""))


def environment(error: str) -> dict[str, str]:
    """Return what makes the clock of a process wrong by `error`, such as ``+1h``."""
    return {"LD_PRELOAD": library(), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME": error}
