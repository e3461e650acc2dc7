"""Lay out how mail failed: alike together, and which messages did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sending.models import Status
from stats import queries
from stats.admin.spans import Span
from stats.models import SEPARATOR
from stats.queries import FailureGroup
from stats.rollups.changes import FAILURES, alike

TABLES: Sequence[tuple[str, str, Callable[[FailureGroup], bool]]] = (
    (
        "final",
        "Failed for good",
        lambda group: group.kind not in (Status.DEFERRED, Status.SUPPRESSED),
    ),
    ("delays", "Only delayed, and tried again", lambda group: group.kind == Status.DEFERRED),
    ("suppressed", "Not sent, by our own orders", lambda group: group.kind == Status.SUPPRESSED),
)
MOST_GROUPS, SHOWN_GROUPS, SHOWN_MESSAGES = 5000, 100, 25


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group with its share of its table. `query` asks for its messages."""

    group: FailureGroup
    share: float
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class GroupTable:
    """The most frequent groups, how many failures all are, and how many groups are left out."""

    rows: list[GroupRow]
    total: int
    left_out: int


def failures_context(query: Mapping[str, str], *, span: Span) -> dict[str, Any]:
    """Return the groups of the time, and the messages of the one that is asked for."""
    groups = queries.failures(span.cut, limit=MOST_GROUPS)
    chosen = query.get("group", "")
    shared = _shared(query, span=span)
    tables = [
        (
            name,
            title,
            _table([one for one in groups if is_meant(one)], chosen=chosen, shared=shared),
        )
        for name, title, is_meant in TABLES
    ]
    group = next((one for one in groups if name_of(one) == chosen), None)
    return {
        "tables": tables,
        "group": group,
        "failed": _messages(chosen, span=span),
        "failures_read": queries.FAILURES_READ,
        "shown_messages": SHOWN_MESSAGES,
    }


def name_of(group: FailureGroup) -> str:
    """Return what stands for a group in an address."""
    return SEPARATOR.join((group.kind, group.code, group.enhanced, group.text))


def _shared(query: Mapping[str, str], *, span: Span) -> str:
    """Return the parameters that ask for the same time and key."""
    key = query.get("key", "")
    return span.query + (f"&{urlencode({'key': key})}" if key else "")


def _table(groups: list[FailureGroup], *, chosen: str, shared: str) -> GroupTable:
    total = sum(one.number for one in groups)
    rows = [
        GroupRow(
            one,
            one.number / total,
            f"{shared}&{urlencode({'group': name_of(one)})}",
            name_of(one) == chosen,
        )
        for one in groups[:SHOWN_GROUPS]
    ]
    return GroupTable(rows, total, len(groups) - len(rows))


def _messages(chosen: str, *, span: Span) -> list[queries.Failure]:
    kind = chosen.partition(SEPARATOR)[0]
    if kind not in FAILURES:
        return []
    return queries.failed_messages(
        span.cut,
        status=Status(kind),
        is_meant=lambda words: alike(kind, words) == chosen,
        limit=SHOWN_MESSAGES,
    )
