"""Run the few statements of PostgreSQL that each mail costs, prepared once on each connection.

Planning one costs more than running it, and Django's cursor has it planned anew every time. And
psycopg's takes longer around such a statement than the server needs to find a row: libpq, which is
below, sends it and waits in one call, in which this thread holds up no other.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from functools import lru_cache

import psycopg
from django.db import connection
from psycopg import pq

Row = tuple[str, ...]

# A plan for the very ids looks cheaper to the server where these are fewer than the ten that it
# reckons with; it would plan such a statement anew each time, which costs more than to run it.
KEEP_PLANS = b"SET plan_cache_mode = force_generic_plan"


class _Prepared(threading.local):
    """The statements that this thread's connection knows, and their names there."""

    def __init__(self) -> None:
        self.on: psycopg.Connection | None = None
        self.names: dict[str, bytes] = {}


_prepared = _Prepared()
_numbers = itertools.count()


def execute(statement: str, parameters: Sequence[str]) -> list[Row]:
    """Run a statement whose parameters (%s) are written as PostgreSQL reads them; return its rows.

    The rows are as it writes them, NULL as an empty text. Outside a transaction it is committed
    when this returns. Raises what Django's cursor raises.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        given = connection.connection
        # Within a transaction psycopg may have to begin it first.
        if connection.in_atomic_block or given.prepare_threshold is None:
            with psycopg.Cursor(given) as cursor:
                cursor.execute(statement, parameters, prepare=True)
                found = cursor.fetchall() if cursor.description else []
            return [tuple("" if one is None else str(one) for one in row) for row in found]
        result = _run(given, statement, [one.encode() for one in parameters])
    return _rows(result)


def _run(on: psycopg.Connection, statement: str, parameters: Sequence[bytes]) -> pq.abc.PGresult:
    if _prepared.on is not on:
        _checked(on, on.pgconn.exec_(KEEP_PLANS))
        _prepared.on, _prepared.names = on, {}
    if statement in _prepared.names:
        try:
            return _checked(on, on.pgconn.exec_prepared(_prepared.names[statement], parameters))
        except psycopg.errors.InvalidSqlStatementName:
            # psycopg has the server forget all statements after a rollback; nothing was done yet.
            _prepared.names.clear()
    name = f"billionmail_{next(_numbers)}".encode()
    _checked(on, on.pgconn.prepare(name, _numbered(statement)))
    _prepared.names[statement] = name
    return _checked(on, on.pgconn.exec_prepared(name, parameters))


@lru_cache(maxsize=64)
def _numbered(statement: str) -> bytes:
    """Write the places of the parameters as PostgreSQL does: $1, $2."""
    first, *others = statement.split("%s")
    places = "".join([f"${number}{text}" for number, text in enumerate(others, start=1)])
    return (first + places).replace("%%", "%").encode()


def _checked(on: psycopg.Connection, result: pq.abc.PGresult) -> pq.abc.PGresult:
    """Raise what a result says went wrong."""
    if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        return result
    if on.closed:
        raise psycopg.OperationalError(result.get_error_message())
    raise psycopg.errors.error_from_result(result)


def _rows(result: pq.abc.PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [
        tuple((result.get_value(row, column) or b"").decode() for column in columns)
        for row in range(result.ntuples)
    ]
