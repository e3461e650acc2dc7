"""Give tests a next hop that is really there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apikeys import pacing
from sending.models import Route
from tests.factories.sending import RouteFactory
from tests.sink import Sink


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


@pytest.fixture(autouse=True)
def fresh_limiter() -> None:
    """Let no test count the requests of another, which all come from 127.0.0.1."""
    pacing.limiter_at.cache_clear()
