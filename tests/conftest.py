"""Give tests a next hop that is really there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management.commands import flush
from django.db import models, transaction
from hypothesis import settings as hypothesis_settings

from apikeys import arrivals, pacing, refusals
from sending import bulk
from sending.models import Route
from sending.pacing import Pacing
from sending.pacing.buckets import buckets_at
from sending.pacing.providers import Providers
from tests.factories.sending import RouteFactory
from tests.redis_server import RedisServer
from tests.sink import Sink
from tracking import spool

# An example takes as long as a busy machine lets it.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Put back after each flush what the migrations left, instead of working it out anew."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        left = _rows_of_all_tables()
        patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **kwargs: _put_back(left))
        yield


Rows = dict[type[models.Model], list[tuple[Any, ...]]]


def _rows_of_all_tables() -> Rows:
    """Return what stands in the tables that have rows."""
    found = {
        model: list(model._base_manager.values_list(*_columns(model)))
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }
    return {model: rows for model, rows in found.items() if rows}


def _columns(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _put_back(left: Rows) -> None:
    with transaction.atomic():
        for model, rows in left.items():
            bulk.insert(model, fields=_columns(model), rows=rows)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Run an SMTP server on the loopback that keeps what it is given."""
    running = Sink()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def route(db: None, sink: Sink) -> Route:
    """Make the sink the default way out."""
    return RouteFactory.create(port=sink.port, is_default=True)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis of this test's own."""
    # Not below tmp_path: the path of a Unix socket may have 107 characters only.
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Give the spool of opens and clicks a place of its own, which is made when somebody writes."""
    spool.writer.close()
    settings.DATA_DIR = tmp_path
    yield tmp_path / "spool"
    spool.writer.close()


@pytest.fixture(autouse=True)
def fresh_limiter() -> None:
    """Let no test count the requests of another, which all come from 127.0.0.1."""
    pacing.limiter_at.cache_clear()


@pytest.fixture(autouse=True)
def fresh_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store refusals only when a test says so, and forget those of another."""
    monkeypatch.setattr("apikeys.later.SECONDS", 3600)
    monkeypatch.setattr("apikeys.refusals.counted", refusals.Refusals())
    arrivals._seen.clear()
    arrivals._new.clear()


@pytest.fixture(autouse=True)
def fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find the tokens, the lines and the providers of another."""
    buckets_at.cache_clear()
    monkeypatch.setattr("sending.pacing.providers.known", Providers())
    monkeypatch.setattr("sending.pacing._own", Pacing())
