"""Put rows into a table with PostgreSQL's COPY and nothing else; fill a table the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psycopg
from psycopg.sql import SQL, Composed, Identifier

ROWS_PER_COMMIT = 1_000
# Names of no other row: ids before all real ones, in order.
CLONED_MESSAGE = {
    "id": "lpad(to_hex(n), 32, '0')::uuid",
    "recipient": "'r' || n || '@recipient.example'",
    "message_id": "'<' || lpad(to_hex(n), 32, '0') || '@sender.example>'",
}


def raw_copy(database: str, *, rows: int) -> dict[str, float]:
    """Insert copies of a message that is there, 1,000 to a commit, on one connection."""
    with psycopg.connect(database, autocommit=True) as connection:
        columns = columns_of(connection, "sending_message")
        source = clones(columns, "sending_message", "status = 'queued'", CLONED_MESSAGE)
        with connection.cursor().copy(SQL("COPY ({}) TO STDOUT").format(source), (1, rows)) as out:
            lines = [bytes(line) for line in out]
        statement = SQL("COPY sending_message ({}) FROM STDIN").format(_names(columns))
        began = time.monotonic()
        for first in range(0, rows, ROWS_PER_COMMIT):
            with connection.cursor().copy(statement) as copy:
                copy.write(b"".join(lines[first : first + ROWS_PER_COMMIT]))
        return {"rows/s": rows / (time.monotonic() - began)}


def columns_of(connection: psycopg.Connection, table: str) -> list[str]:
    """Return the columns of a table, but not those that PostgreSQL numbers itself."""
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position",
        (table,),
    )
    return [name for (name,) in found]


def clones(columns: list[str], table: str, which: str, changed: Mapping[str, str]) -> Composed:
    """Return a SELECT of copies of one message's rows, for each n between two parameters.

    `changed`: SQL expressions over n for columns that are not copied.
    """
    values = SQL(", ").join(
        SQL(changed[name]) if name in changed else SQL("t.{}").format(Identifier(name))
        for name in columns
    )
    own = "id" if table == "sending_message" else "message_id"
    return SQL(
        "SELECT {} FROM generate_series(%s::bigint, %s::bigint) n, {} t"
        " WHERE t.{} = (SELECT id FROM sending_message WHERE {} ORDER BY id DESC LIMIT 1)"
    ).format(values, Identifier(table), Identifier(own), SQL(which))


def _names(columns: list[str]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in columns)
