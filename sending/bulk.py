"""Insert many rows at once: COPY on PostgreSQL, one multi-row INSERT elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def insert(
    model: type[models.Model], *, fields: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert `rows`, each with a value for every name in `fields` (names of concrete columns).

    Values are as Python sees them; columns that are not named must have a database default or be
    an identity. Runs in the caller's transaction.
    """
    columns = [model._meta.get_field(name) for name in fields]
    if connection.vendor == "postgresql":
        _copy(model, columns, rows)
    else:
        _insert(model, columns, rows)


def _copy(model: type[models.Model], columns: list[Any], rows: Iterable[Sequence[Any]]) -> None:
    names = ", ".join(f'"{column.column}"' for column in columns)
    statement = f'COPY "{model._meta.db_table}" ({names}) FROM STDIN'
    prepare = [column.get_db_prep_save for column in columns]
    # Django's cursor translates psycopg's errors; the copy object that it hands out does not.
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for row in rows:
            copy.write_row(
                [to_db(value, connection) for to_db, value in zip(prepare, row, strict=True)]
            )


def _insert(model: type[models.Model], columns: list[Any], rows: Iterable[Sequence[Any]]) -> None:
    names = [column.attname for column in columns]
    instances = [model(**dict(zip(names, row, strict=True))) for row in rows]
    model._default_manager.bulk_create(instances, batch_size=500)
