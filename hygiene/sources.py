"""Walk through the addresses of a run, some at a time, whatever their number."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from hygiene.errors import CannotClean
from hygiene.models import Line, Run
from sending.models import Message, Priority, in_batch

COLUMNS = ("address", "email", "e-mail", "mail", "recipient", "email address", "e-mail address")


@dataclass(frozen=True, slots=True)
class Lot:
    """Some addresses as they are written, and from where to go on."""

    texts: list[str]
    cursor: str


def total_of(run: Run) -> int:
    """Return how many addresses there are."""
    if run.source == Run.Source.STORED:
        return Message.objects.values("recipient").distinct().count()
    if run.source == Run.Source.BATCH:
        return _batch(run).count()
    return run.lines.count()


def next_lot(run: Run, *, size: int) -> Lot:
    """Return the addresses behind the run's cursor; none when it has come to the end."""
    if run.source == Run.Source.STORED:
        found = Message.objects.filter(recipient__gt=run.cursor).order_by("recipient")
        texts = list(found.values_list("recipient", flat=True).distinct()[:size])
        return Lot(texts, texts[-1] if texts else run.cursor)
    rows: list[tuple[int | UUID, str]]
    if run.source == Run.Source.BATCH:
        after = UUID(run.cursor) if run.cursor else UUID(int=0)
        batch = _batch(run).filter(id__gt=after).order_by("id")
        rows = list(batch.values_list("id", "recipient")[:size])
    else:
        lines = Line.objects.filter(run=run, id__gt=int(run.cursor or 0)).order_by("id")
        rows = list(lines.values_list("id", "text")[:size])
    return Lot([text for _, text in rows], str(rows[-1][0]) if rows else run.cursor)


def _batch(run: Run) -> QuerySet[Message]:
    """Return what was accepted in the same call; a run names it by itself or by one message."""
    named = run.batch_message_id or UUID(int=0)
    one = Message.objects.filter(pk=named).only("batch_id", "priority").first()
    batch_id = named if one is None else one.batch_id
    if batch_id is None:
        if one is not None and one.priority == Priority.BATCH:
            raise CannotClean(
                f"The message {named} was accepted before batches had ids, so nothing tells who "
                "else was in its batch: give their addresses as a CSV file (--csv)."
            )
        raise CannotClean(f"The message {named} was accepted by itself, not in a batch.")
    found = Message.objects.filter(in_batch(batch_id))
    if one is None and not found.exists():
        raise CannotClean(f"Neither a message nor a batch has the id {named}.")
    return found


def read_addresses(lines: Iterable[str], *, column: str = "") -> Iterator[str]:
    """Yield the addresses of a CSV file, one by one.

    `column` names the one to take. Empty: the one that the first line calls address or email, or
    the first one of a file without such a line. Raises CannotClean when it cannot be read.
    """
    reader = csv.reader(line.replace("\0", "") for line in lines)
    try:
        place: int | None = None
        for cells in reader:
            if place is None:
                place, is_header = _place(cells, column=column)
                if is_header:
                    continue
            text = cells[place].strip() if place < len(cells) else ""
            if text:
                yield text
    except csv.Error as error:
        raise CannotClean(f"Line {reader.line_num} of the file cannot be read: {error}.") from None


def _place(cells: list[str], *, column: str) -> tuple[int, bool]:
    names = [cell.strip().lstrip("\ufeff").casefold() for cell in cells]
    if column:
        if column.casefold() not in names:
            raise CannotClean(f"The file has no column {column!r}, but: {', '.join(names)[:300]}.")
        return names.index(column.casefold()), True
    found = [place for place, name in enumerate(names) if name in COLUMNS]
    return (found[0], True) if found else (0, False)
