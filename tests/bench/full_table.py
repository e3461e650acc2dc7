"""Fill a database with a long past: messages that were sent, with their attempts and events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg.sql import SQL, Identifier

from tests.bench.yardsticks.raw_copy import CLONED_MESSAGE, clones, columns_of

ROWS_PER_COMMIT = 250_000
TABLES = {
    "sending_message": CLONED_MESSAGE,
    "sending_attempt": {"message_id": CLONED_MESSAGE["id"]},
    "sending_event": {"message_id": CLONED_MESSAGE["id"]},
}


def fill(database: str, *, rows: int) -> None:
    """Copy a message that was sent, with all that is written down of it, so many times."""
    with ThreadPoolExecutor(len(TABLES)) as tables:
        for filled in [tables.submit(_fill, database, table, rows) for table in TABLES]:
            filled.result()
    with psycopg.connect(database, autocommit=True) as connection:
        # Workers count what is new beside their work; the past was counted as it happened.
        connection.execute(
            "INSERT INTO stats_progress (id, event_id) SELECT 1, max(id) FROM sending_event"
            " ON CONFLICT (id) DO UPDATE SET event_id = excluded.event_id"
        )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _fill(database: str, table: str, rows: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        # The copies refer to each other; looking that up three million times takes minutes.
        connection.execute("SET session_replication_role = replica")
        columns = columns_of(connection, table)
        source = clones(columns, table, "status = 'sent'", TABLES[table])
        names = SQL(", ").join(Identifier(name) for name in columns)
        statement = SQL("INSERT INTO {} ({}) {}").format(Identifier(table), names, source)
        for first in range(1, rows + 1, ROWS_PER_COMMIT):
            last = min(first + ROWS_PER_COMMIT - 1, rows)
            connection.execute(statement, (first, last))
            print(f"{'':>10}  {table}: {last:,} of {rows:,} messages of the past", flush=True)
