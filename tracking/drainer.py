"""Bring the spooled hits into the database: each once, whatever ends in between.

How far a segment is stored is written in the transaction that stores its hits. One process of a
host drains: the one that holds the lock of the spool. The others stand by, and one of them goes on
when it ends. While the database is away, what is spooled is written back to the disk.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.utils import timezone

from sending.models import Message, TemplateVersion
from tracking import spool
from tracking.events import record_hits
from tracking.hits import Hit, Record
from tracking.links import links_of
from tracking.models import Segment, TrackedLink
from tracking.networks import truncated

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
STAND_BY_SECONDS = 2
STOP_SECONDS = 10
COMPLAIN_SECONDS = 60
CHUNK_BYTES = 256 * 1024  # some thousand hits to a transaction
LOCK = ".lock"
REJECTED = "rejected"
MAX_REJECTED_BYTES = 10 * 1024 * 1024


def drain(home: Path) -> int:
    """Store what is spooled and remove the segments that nobody writes to; return how many hits.

    Whoever calls holds the lock of the spool. Raises OperationalError or InterfaceError when the
    database is away; what was not stored then is stored the next time.
    """
    return _Drain(home).turn()


class _Drain:
    """Know how far the segments of one spool are stored, to ask the database only for news."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stored: dict[str, int] = {}

    def turn(self) -> int:
        """Store what has come since the last turn."""
        paths = sorted(self._home.glob(f"*{spool.SUFFIX}"))
        return sum(self._segment(path) for path in paths)

    def sync(self) -> None:
        """Have the system write the segments back to the disk."""
        for path in self._home.glob(f"*{spool.SUFFIX}"):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _segment(self, path: Path) -> int:
        count = 0
        with spool.locked(path) as is_abandoned:
            while path.stat().st_size > self._stored_bytes(path.name):
                more, has_moved = self._chunk(path, is_abandoned=is_abandoned)
                count += more
                if not has_moved:  # the writer is in the middle of a record
                    break
            if is_abandoned:
                path.unlink()
                Segment.objects.filter(name=path.name).delete()
                self._stored.pop(path.name, None)
        return count

    def _stored_bytes(self, name: str) -> int:
        if name not in self._stored:
            row = Segment.objects.filter(name=name).first()
            self._stored[name] = row.stored_bytes if row else 0
        return self._stored[name]

    def _chunk(self, path: Path, *, is_abandoned: bool) -> tuple[int, bool]:
        """Store one part of a segment; return how many hits, and whether that moved on."""
        begin = self._stored_bytes(path.name)
        with path.open("rb") as file:
            file.seek(begin)
            octets = file.read(CHUNK_BYTES)
        is_last = begin + len(octets) >= path.stat().st_size
        length = len(octets) if is_abandoned and is_last else _whole(octets)
        found = _decoded(path.name, begin, octets[:length])
        if length:
            self._store(path.name, found, end=begin + length)
        return len(found), length > 0

    def _store(self, name: str, found: Sequence[tuple[str, Record]], *, end: int) -> None:
        link_ids = _link_ids([record for _, record in found])
        hits = [
            record.hit(link_id=link_ids.get((record.message_id, record.link)), key=key)
            for key, record in found
        ]
        self._stored.pop(name, None)  # asked anew, should nobody know how the transaction ended
        try:
            _write(name, hits, end=end)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a hit that nothing can be made of must not hold up all that follow
            log.exception("Some hits could not be stored together; they are stored one by one")
            self._write_apart(name, hits, end=end)
        self._stored[name] = end

    def _write_apart(self, name: str, hits: Sequence[Hit], *, end: int) -> None:
        with transaction.atomic():
            for hit in hits:
                try:
                    with transaction.atomic():
                        record_hits([hit])
                except (OperationalError, InterfaceError):
                    raise
                except Exception:
                    log.exception("A hit is put aside in %s: %s", self._home / REJECTED, hit.key)
                    self._put_aside(hit)
            _move(name, end=end)

    def _put_aside(self, hit: Hit) -> None:
        """Keep it for whoever mends what was wrong, as little of it as the log of hits would."""
        with (self._home / REJECTED).open("a") as file:
            if file.tell() < MAX_REJECTED_BYTES:
                file.write(f"{replace(hit, ip=truncated(hit.ip))!r}\n")


def forget_rejected(message_ids: Collection[UUID]) -> None:
    """Remove the hits on these messages from the file of those that could not be stored."""
    path = spool.directory() / REJECTED
    if not path.exists():
        return
    names = [repr(one) for one in message_ids]
    with spool.locked(spool.directory() / LOCK):  # the file is this host's, and rarely there
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not any(name in line for name in names)]
        if len(kept) < len(lines):
            path.write_text("".join(kept))


def _write(name: str, hits: Sequence[Hit], *, end: int) -> None:
    with transaction.atomic():
        record_hits(hits)
        _move(name, end=end)


def _move(name: str, *, end: int) -> None:
    Segment.objects.update_or_create(
        name=name, defaults={"stored_bytes": end, "stored_at": timezone.now()}
    )


def _whole(octets: bytes) -> int:
    """Return where the last record begins that has no end yet, or the length."""
    last = octets.rfind(spool.BEGIN)
    return len(octets) if last < 0 or spool.END in octets[last:] else last


def _decoded(name: str, begin: int, octets: bytes) -> list[tuple[str, Record]]:
    """Return the records of a part, each with the name that it has for ever."""
    found = []
    for offset, record in spool.records(octets):
        key = f"{name.removesuffix(spool.SUFFIX)}:{begin + offset}"
        try:
            found.append((key, Record.decoded(record)))
        except (ValueError, TypeError):
            log.warning("The spooled hit %s cannot be read: %r", key, record[:200])
    return found


def _link_ids(records: Sequence[Record]) -> dict[tuple[object, int], int]:
    """Return the TrackedLink of each click, by message and number."""
    clicked = {record.message_id for record in records if record.link}
    if not clicked:
        return {}
    versions = dict(
        Message.objects.filter(id__in=clicked, template_version__isnull=False).values_list(
            "id", "template_version_id"
        )
    )
    links = _links_of_versions(set(versions.values()))
    return {
        (message_id, position): link_id
        for message_id, version in versions.items()
        for position, link_id in links.get(version, {}).items()
    }


def _links_of_versions(ids: set[int]) -> dict[int, dict[int, int]]:
    known: dict[int, dict[int, int]] = {}
    for row in TrackedLink.objects.filter(template_version_id__in=ids):
        known.setdefault(row.template_version_id, {})[row.position] = row.pk
    for version in TemplateVersion.objects.filter(pk__in=ids - known.keys()):
        known[version.pk] = {row.position: row.pk for row in links_of(version)}
    return known


class Drainer:
    """A thread that drains the spool of this host, or stands by while another process does."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="drainer", daemon=True)
        self._complained_at = float("-inf")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Store what has come, and end. Waits for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        home = spool.directory()
        while not self._stopping.is_set():
            try:
                home.mkdir(mode=0o700, parents=True, exist_ok=True)
                with spool.locked(home / LOCK) as is_ours:
                    if is_ours:
                        self._drain(_Drain(home))
            except OSError as error:
                self._complain("The spool of opens and clicks cannot be read", error)
            self._stopping.wait(STAND_BY_SECONDS)
        connection.close()

    def _drain(self, spooled: _Drain) -> None:
        """Drain until this is stopped, and then once more."""
        is_over = False
        while not is_over:
            is_over = self._stopping.wait(PAUSE_SECONDS)
            try:
                close_old_connections()
                spooled.turn()
            except (OperationalError, InterfaceError) as error:
                self._complain("Opens and clicks wait in the spool for the database", error)
                connection.close()
                spooled.sync()
            except OSError:
                raise
            except Exception:  # what comes tomorrow must not wait for somebody to restart this
                log.exception("The spool could not be drained; trying again")

    def _complain(self, what: str, error: Exception) -> None:
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error("%s: %s", what, error)


_drainer: Drainer | None = None


def start() -> None:
    """Start this process's drainer; does nothing when it has one."""
    global _drainer
    if _drainer is None:
        _drainer = Drainer()
        _drainer.start()


def stop() -> None:
    """Stop this process's drainer, if it has one."""
    global _drainer
    if _drainer is not None:
        _drainer.stop()
        _drainer = None
