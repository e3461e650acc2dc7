"""Keep hits in files until the database has them: a hit is written before it is answered.

Each process appends to a file of its own, a segment, and holds a lock on it for as long as it
does, so that whoever can lock a segment knows that nobody writes to it any more. A record is one
of RFC 7464: the octet RS, JSON, a line end. So one that was cut off by a full disk spoils no
other one. What `write` was given outlives this process, however it ends; what a power cut takes
is the last seconds before the system wrote its files back.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

SUFFIX = ".hits"
BEGIN, END = b"\x1e", b"\n"
SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_SECONDS = 3600
COMPLAIN_SECONDS = 60


def directory() -> Path:
    """Return where the segments of this host are."""
    return Path(settings.DATA_DIR) / "spool"


class Writer:
    """Append records to this process's segment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._began_at = 0.0
        self._written = 0
        self._complained_at = float("-inf")

    def append(self, record: bytes) -> bool:
        """Write a record; return False, and log, when the disk does not take it."""
        octets = BEGIN + record + END
        try:
            written = self._write(octets)
        except OSError as error:
            self._complain(str(error))
            return False
        if written < len(octets):
            self._complain("the disk is full")
        return written == len(octets)

    def forget(self) -> None:
        """Begin another segment in a forked process: the one it has is its parent's."""
        self._lock = threading.Lock()
        if self._descriptor is not None:
            os.close(self._descriptor)  # the lock stays with the parent's copy
            self._descriptor = None

    def close(self) -> None:
        """End the segment; the next record begins another."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _write(self, octets: bytes) -> int:
        with self._lock:
            descriptor = self._segment()
            self._written += len(octets)
            return os.write(descriptor, octets)

    def _segment(self) -> int:
        now = time.monotonic()
        is_over = self._written >= SEGMENT_BYTES or now - self._began_at >= SEGMENT_SECONDS
        if self._descriptor is not None and not is_over:
            return self._descriptor
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._descriptor = _new_segment()
        self._began_at, self._written = now, 0
        return self._descriptor

    def _complain(self, why: str) -> None:
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error("Opens and clicks are answered but lost: %s: %s", directory(), why)


def _new_segment() -> int:
    """Create a segment that nobody can take for abandoned before it is locked."""
    home = directory()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / f"{secrets.token_hex(12)}{SUFFIX}"
    made = path.with_suffix(".new")
    descriptor = os.open(made, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made.rename(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def records(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the whole records of a part of a segment, each with its offset in it.

    A record that another one cut off, or that has no end yet, is left out.
    """
    start = octets.find(BEGIN)
    while start >= 0:
        following = octets.find(BEGIN, start + 1)
        part = octets[start + 1 : following if following >= 0 else len(octets)]
        record, end, _ = part.partition(END)
        if end:
            yield start, record
        start = following


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a file locked, if nobody else does; yield whether that is so."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


writer = Writer()
os.register_at_fork(after_in_child=writer.forget)
