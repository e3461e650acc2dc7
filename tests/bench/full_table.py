"""Fill a database with a long past: messages that were sent, with their attempts and events."""

from __future__ import annotations

import psycopg
from psycopg.sql import SQL, Identifier

from tests.bench.yardsticks.raw_copy import CLONED_MESSAGE, clones, columns_of

ROWS_PER_COMMIT = 100_000
TABLES = {
    "sending_message": CLONED_MESSAGE,
    "sending_attempt": {"message_id": CLONED_MESSAGE["id"]},
    "sending_event": {"message_id": CLONED_MESSAGE["id"]},
}


def fill(database: str, *, rows: int) -> None:
    """Copy a message that was sent, with all that is written down of it, so many times."""
    with psycopg.connect(database, autocommit=True) as connection:
        # The copies refer to each other; looking that up three million times takes minutes.
        connection.execute("SET session_replication_role = replica")
        for first in range(1, rows + 1, ROWS_PER_COMMIT):
            last = min(first + ROWS_PER_COMMIT - 1, rows)
            for table, changed in TABLES.items():
                columns = columns_of(connection, table)
                source = clones(columns, table, "status = 'sent'", changed)
                names = SQL(", ").join(Identifier(name) for name in columns)
                connection.execute(
                    SQL("INSERT INTO {} ({}) {}").format(Identifier(table), names, source),
                    (first, last),
                )
            print(f"{'':>10}  {last:,} of {rows:,} rows at rest", flush=True)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
