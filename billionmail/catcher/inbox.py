"""Keep caught mail as files that any tool can read.

A mail is ``<UTC time>-<random>.eml`` with exactly the bytes that came in DATA, beside a ``.json``
of the same name with its envelope. The names sort by time of receipt.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}")
TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
TIME_LENGTH = len("20260102T030405.678901Z")


def inbox_directory() -> Path:
    """Return where caught mail is kept; it exists once the first mail came or the server began."""
    return Path(settings.DATA_DIR) / "inbox"


def create_directory(directory: Path) -> None:
    """Create the directory for its owner alone; what exists is left as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def store(
    directory: Path,
    *,
    content: bytes,
    envelope_sender: str,
    recipients: list[str],
    received_at: datetime,
) -> str:
    """Write one mail and return its name; raise OSError, leaving nothing behind.

    The `.eml` appears whole or not at all, and never before its envelope. It is not flushed to
    the disk: who loses power while trying things out can send them again.
    """
    create_directory(directory)
    stamp = received_at.astimezone(UTC).strftime(TIME_FORMAT)
    name = f"{stamp}-{secrets.token_hex(4)}"
    envelope = {"envelope_sender": envelope_sender, "recipients": recipients}
    partial = directory / f".{name}.partial"
    try:
        _envelope_path(directory, name=name).write_text(json.dumps(envelope), encoding="ascii")
        partial.write_bytes(content)
        partial.rename(_mail_path(directory, name=name))
    except OSError:
        partial.unlink(missing_ok=True)
        _envelope_path(directory, name=name).unlink(missing_ok=True)
        raise
    return name


def names(directory: Path) -> list[str]:
    """Return the names of all caught mails, the newest first."""
    try:
        with os.scandir(directory) as entries:
            stems = [entry.name[:-4] for entry in entries if entry.name.endswith(".eml")]
    except FileNotFoundError:
        return []
    return sorted(filter(NAME.fullmatch, stems), reverse=True)


def mail_path(directory: Path, *, name: str) -> Path | None:
    """Return the file of a caught mail, or None when there is none of this name."""
    if not NAME.fullmatch(name):
        return None
    path = _mail_path(directory, name=name)
    return path if path.is_file() else None


def received_at(name: str) -> datetime:
    """Return the time in a name."""
    return datetime.strptime(name[:TIME_LENGTH], TIME_FORMAT).replace(tzinfo=UTC)


def envelope(directory: Path, *, name: str) -> tuple[str, tuple[str, ...]]:
    """Return envelope sender and recipients; both empty when the envelope is lost or damaged."""
    try:
        stored = json.loads(_envelope_path(directory, name=name).read_bytes())
        return str(stored["envelope_sender"]), tuple(map(str, stored["recipients"]))
    except (OSError, ValueError, KeyError, TypeError):
        return "", ()


def clear(directory: Path) -> int:
    """Delete all caught mails and return how many; other files stay."""
    caught = names(directory)
    for name in caught:
        _mail_path(directory, name=name).unlink(missing_ok=True)
        _envelope_path(directory, name=name).unlink(missing_ok=True)
    return len(caught)


def _mail_path(directory: Path, *, name: str) -> Path:
    return directory / f"{name}.eml"


def _envelope_path(directory: Path, *, name: str) -> Path:
    return directory / f"{name}.json"
