"""Insert many rows at once: COPY on PostgreSQL, one prepared INSERT elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from psycopg.types.json import Jsonb

# From here on COPY is cheaper than one statement for each row, which needs one round trip less.
COPY_FROM_ROWS = 5


def insert(
    model: type[models.Model], *, fields: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert `rows`, each with a value for every name in `fields` (names of concrete columns).

    Values are as Python sees them; columns that are not named must have a database default or be
    an identity. Runs in the caller's transaction.
    """
    columns = [model._meta.get_field(name) for name in fields]
    if connection.vendor != "postgresql":
        _insert(model, columns, rows)
    elif len(rows) < COPY_FROM_ROWS:
        _execute(model, columns, rows)
    else:
        _copy(model, columns, rows)


def _execute(model: type[models.Model], columns: list[Any], rows: Sequence[Sequence[Any]]) -> None:
    """Insert one by one with a statement that is prepared once on each connection."""
    statement = _statement(model, columns)
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        for row in _to_database(columns, rows):
            cursor.execute(statement, row, prepare=True)


def _copy(model: type[models.Model], columns: list[Any], rows: Sequence[Sequence[Any]]) -> None:
    statement = f'COPY "{model._meta.db_table}" ({_names(columns)}) FROM STDIN'
    # Django's cursor translates psycopg's errors; the copy object that it hands out does not.
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for row in _to_database(columns, rows):
            copy.write_row(row)


def _statement(model: type[models.Model], columns: list[Any]) -> str:
    places = ", ".join(["%s"] * len(columns))
    return f'INSERT INTO "{model._meta.db_table}" ({_names(columns)}) VALUES ({places})'  # noqa: S608 - names of our own tables


def _names(columns: list[Any]) -> str:
    return ", ".join(f'"{column.column}"' for column in columns)


def _to_database(columns: list[Any], rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Return the rows as psycopg takes them; it knows all types of ours but JSON by itself."""
    places = [at for at, one in enumerate(columns) if isinstance(one, models.JSONField)]
    for row in rows:
        values = list(row)
        for place in places:
            values[place] = Jsonb(values[place])
        yield values


def _insert(model: type[models.Model], columns: list[Any], rows: Sequence[Sequence[Any]]) -> None:
    # Not `connection`, which looks for the one of this thread at each of its attributes.
    database = connections[DEFAULT_DB_ALIAS]
    prepare = [column.get_db_prep_save for column in columns]
    values = [
        [to_database(value, database) for to_database, value in zip(prepare, row, strict=True)]
        for row in rows
    ]
    with database.cursor() as cursor:
        cursor.executemany(_statement(model, columns), values)
