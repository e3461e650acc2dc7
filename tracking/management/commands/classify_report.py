"""Tell what mailed reports say, without writing anything down."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from tracking.reading import Finding, ReadingKind, read_report

# The kinds that are told; a report of success is none of them, and its action says so.
_KINDS = {ReadingKind.DELIVERED: ReadingKind.UNKNOWN}


class Command(BaseCommand):
    """Print one JSON line for each file."""

    help = (
        "Reads mailed reports (bounces, complaints, automatic answers) and prints one JSON line "
        "for each: kind, class, recipient, enhanced_status, diagnostic. Writes nothing down. "
        "Exit code 1 when a file could not be read; the others are still told."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what can be given."""
        parser.add_argument(
            "files", nargs="+", metavar="FILE", help="a raw mail; - reads standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read each file and tell what it says."""
        has_failed = False
        for name in options["files"]:
            try:
                content = _content(name)
            except OSError as error:
                has_failed = True
                self.stderr.write(f"{name} cannot be read: {error.strerror}. Is the path right?")
                continue
            self.stdout.write(json.dumps({"file": name} | _told(content)))
        if has_failed:
            sys.exit(1)


def _content(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _told(content: bytes) -> dict[str, Any]:
    reading = read_report(content)
    told: dict[str, Any] = {**_line(reading.findings[0])}
    if len(reading.findings) > 1:
        told["recipients"] = [_line(finding) for finding in reading.findings]
    return told


def _line(finding: Finding) -> dict[str, str]:
    line = {
        "kind": str(_KINDS.get(finding.kind, finding.kind)),
        "class": str(finding.bounce_class),
        "recipient": finding.recipient,
        "enhanced_status": finding.reply.enhanced,
        "diagnostic": str(finding.reply),
    }
    return line | ({"action": finding.action} if finding.action else {})
