"""Add up changes of the counts, and write them in one go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, models

from sending import bulk
from stats.models import MEASURES, SEPARATOR, Day, Dimension, Hour, Tally

PLACE = ("dimension", "api_key", "began_at", "value")
TALLY_PLACE = ("series", "api_key", "began_at", "value")
VALUE_LENGTH = 255

# (dimension or series, key, hour, value)
Place = tuple[str, UUID, datetime, str]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the counts know a message by; none of it ever changes."""

    api_key_id: UUID
    hour: datetime
    dimensions: tuple[tuple[str, str], ...]


def dimensions_of(
    *,
    version_id: int | None,
    stream: str,
    sender_address: str,
    recipient_domain: str,
    batch_id: UUID | None,
    variant: str,
    tags: Sequence[str],
) -> tuple[tuple[str, str], ...]:
    """Return each dimension of messages with the value of this one; several of its tags."""
    version = "" if version_id is None else str(version_id)
    found = [
        (Dimension.ALL.value, ""),
        (Dimension.VERSION.value, version),
        (Dimension.STREAM.value, stream),
        (Dimension.SENDER_DOMAIN.value, sender_address.rpartition("@")[2][:VALUE_LENGTH]),
        (Dimension.RECIPIENT_DOMAIN.value, recipient_domain),
    ]
    if batch_id is not None:
        found.append((Dimension.BATCH.value, str(batch_id)))
    if variant:
        found.append((Dimension.VARIANT.value, SEPARATOR.join((variant, version))))
    found += [(Dimension.TAG.value, tag) for tag in tags]
    return tuple(found)


class Deltas:
    """By how much counts change."""

    def __init__(self) -> None:
        self._hours: dict[Place, Counter[str]] = defaultdict(Counter)
        self._tallies: Counter[Place] = Counter()

    def add(self, place: Place, measure: str, number: int) -> None:
        """Change one count of a rollup."""
        self._hours[place][measure] += number

    def add_all(self, place: Place, changes: Mapping[str, int], *, sign: int) -> None:
        """Change several counts of a rollup; with the sign -1, take them out."""
        counts = self._hours[place]
        for measure, number in changes.items():
            counts[measure] += sign * number

    def tally(self, place: Place, number: int) -> None:
        """Change one tally."""
        self._tallies[place] += number

    def merge(self, other: Deltas) -> None:
        """Change everything by what others add up to."""
        for place, counts in other._hours.items():
            self.add_all(place, counts, sign=1)
        self._tallies.update(other._tallies)

    def tables(self) -> Iterator[tuple[type[models.Model], Rows]]:
        """Return the rows of each table: their place, then the changes; nothing that is zero.

        In the order of their places, in which everybody locks them.
        """
        days: dict[Place, Counter[str]] = defaultdict(Counter)
        for (dimension, key, hour, value), counts in self._hours.items():
            if dimension == Dimension.BATCH:  # all of it is in this hour
                continue
            days[dimension, key, hour.replace(hour=0), value].update(counts)
        yield Hour, _rows(self._hours)
        yield Day, _rows(days)
        yield Tally, sorted((*place, number) for place, number in self._tallies.items() if number)

    def apply(self) -> None:
        """Change the counts in the database."""
        for model, rows in self.tables():
            if rows:
                _upsert(model, rows)

    def insert(self) -> None:
        """Write the counts into empty tables."""
        for model, rows in self.tables():
            bulk.insert(model, fields=columns_of(model), rows=rows)


def columns_of(model: type[models.Model]) -> tuple[str, ...]:
    """Return the names of the columns that `Deltas.tables` has values for."""
    return (*TALLY_PLACE, "number") if model is Tally else (*PLACE, *MEASURES)


def _rows(counted: dict[Place, Counter[str]]) -> Rows:
    return sorted(
        (*place, *(counts[name] for name in MEASURES))
        for place, counts in counted.items()
        if any(counts.values())
    )


def _upsert(model: type[models.Model], rows: Iterable[tuple[Any, ...]]) -> None:
    fields = [model._meta.get_field(name) for name in columns_of(model)]
    place, counts = fields[:4], fields[4:]
    table = model._meta.db_table
    changes = ", ".join(
        f"{one.column} = {table}.{one.column} + excluded.{one.column}"  # type: ignore[union-attr]
        for one in counts
    )
    statement = (
        f"INSERT INTO {table} ({_names(fields)}) VALUES ({', '.join(['%s'] * len(fields))})"  # noqa: S608 - names of our own
        f" ON CONFLICT ({_names(place)}) DO UPDATE SET {changes}"
    )
    values = [
        [
            field.get_db_prep_value(value, connection)  # type: ignore[union-attr]
            for field, value in zip(fields, row, strict=True)
        ]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _names(fields: Iterable[Any]) -> str:
    return ", ".join(field.column for field in fields)
