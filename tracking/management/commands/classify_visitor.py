"""Say who hits were by, from JSON lines: ``manage.py classify_visitor [FILE ...]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tracking.hits import CLICKED, OPENED
from tracking.visitors import RULESET, classify

KINDS = {OPENED: OPENED, "open": OPENED, CLICKED: CLICKED, "click": CLICKED}
TYPES: dict[str, tuple[type, ...]] = {
    "user_agent": (str,),
    "ip": (str,),
    "method": (str,),
    "has_accept": (bool,),
    "purpose": (str,),
    "seconds_after_handoff": (int, float),
}
NAMES = {str: "a text", bool: "true or false", float: "a number"}


class Command(BaseCommand):
    """Read hits, one JSON object a line, and print the label of each and why."""

    requires_system_checks = ()

    help = (
        "Read JSON lines with kind (opened or clicked), user_agent, ip, method and "
        "seconds_after_handoff (optional: has_accept, purpose) from files or the standard input; "
        "print a JSON line with the label and the reasons for each. A line that cannot be read "
        "is told on the standard error, and the rest goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take any number of files."""
        parser.add_argument("files", nargs="*", metavar="FILE", help="default: standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each that can be read; fail in the end if one could not."""
        bad = 0
        for place, line in _lines(options["files"]):
            try:
                found = _judged(line)
            except ValueError as error:
                bad += 1
                self.stderr.write(f"{place}: {error}")
            else:
                self.stdout.write(json.dumps(found, ensure_ascii=False))
        if bad:
            raise CommandError(f"{bad} of the lines could not be read; they are told above.")


def _lines(files: list[str]) -> Iterator[tuple[str, str]]:
    """Return the lines that are not empty, each with its file and number."""
    for name in files or ["-"]:
        is_stdin = name == "-"
        try:
            with nullcontext(sys.stdin.buffer) if is_stdin else Path(name).open("rb") as file:
                for number, octets in enumerate(file, start=1):
                    if octets.strip():
                        place = f"{'standard input' if is_stdin else name}, line {number}"
                        yield place, octets.decode("utf-8", "replace")
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}.") from None


def _judged(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is not JSON: {error}.") from None
    if not isinstance(row, dict):
        hint = 'This is not an object such as {"kind": "opened", "user_agent": "..."}.'
        raise ValueError(hint)  # noqa: TRY004 - it is about the line, not about our own types
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f'"kind" is {json.dumps(kind)}; it must be "opened" or "clicked".')
    verdict = classify(kind=KINDS[kind], **_told(row))
    return {
        "label": verdict.label.value,
        "reasons": list(verdict.reasons),
        "is_human": verdict.is_human,
        "ruleset": RULESET,
    }


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the line says of the hit; what is missing or null is not known."""
    told: dict[str, Any] = {"user_agent": ""}
    for name, types in TYPES.items():
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(f'"{name}" must be {NAMES[types[-1]]}, not {json.dumps(value)[:80]}.')
        told[name] = value
    return told
