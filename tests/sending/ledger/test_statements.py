"""Statements run below psycopg do what they would do through it."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DataError, OperationalError, connection, transaction

from sending.ledger.statements import execute

QUESTION = "SELECT %s::text, %s::int + 1, NULL, '100 %%'"


@pytest.fixture(params=["at once", "in a transaction", "nothing prepared"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    connection.ensure_connection()
    if request.param == "nothing prepared":
        monkeypatch.setattr(connection.connection, "prepare_threshold", None)
    return str(request.param)


@pytest.mark.django_db(transaction=True)
def test_rows_are_texts_whatever_the_way(way: str) -> None:
    if way == "in a transaction":
        with transaction.atomic():
            assert execute(QUESTION, ["a '\\ %s é", "41"]) == [("a '\\ %s é", "42", "", "100 %")]
        return
    for number in ("41", "1"):
        expected = str(int(number) + 1)
        assert execute(QUESTION, ["a '\\ %s é", number]) == [("a '\\ %s é", expected, "", "100 %")]


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_that_of_django_and_leaves_the_connection_good() -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="invalid input syntax"):
            execute(QUESTION, ["a", "no number"])
    assert execute(QUESTION, ["a", "1"])[0][1] == "2"


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_ended_is_told_and_the_next_one_prepares_anew() -> None:
    execute(QUESTION, ["a", "1"])
    backend = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [backend])
    with pytest.raises(OperationalError):
        execute(QUESTION, ["a", "1"])
    assert connection.connection.closed
    connection.close()
    assert execute(QUESTION, ["a", "1"])[0][1] == "2"


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_did_is_undone_with_it() -> None:
    execute("CREATE TABLE probe (word text)", [])
    try:
        with transaction.atomic():
            execute("INSERT INTO probe VALUES (%s)", ["lost"])
            transaction.set_rollback(True)
        execute("INSERT INTO probe VALUES (%s)", ["kept"])
        assert execute("SELECT word FROM probe", []) == [("kept",)]
    finally:
        execute("DROP TABLE probe", [])


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_was_forgotten_is_prepared_again() -> None:
    """After a rollback psycopg has the server forget all of them, ours among them."""
    execute(QUESTION, ["a", "1"])
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert execute(QUESTION, ["a", "2"])[0][1] == "3"
    assert execute(QUESTION, ["a", "3"])[0][1] == "4"
