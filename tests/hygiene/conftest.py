"""Give the tests a name server, and addresses with a past."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dns_server import NameServer


@pytest.fixture
def name_server(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Run a name server that the cleaning asks; it is not waited for long."""
    monkeypatch.setattr("hygiene.domains.TIMEOUT_SECONDS", 0.3)
    server = NameServer()
    server.publish("good.example", "MX", "10 mx.good.example.")
    server.publish("old.example", "A", "192.0.2.1")
    server.publish("null.example", "MX", "0 .")
    server.publish("web.example", "TXT", "no mail here")
    server.broken.add("broken.example")
    server.silent.add("silent.example")
    server.start()
    settings.CLEAN_LIST_DNS_SERVER = f"127.0.0.1:{server.port}"
    yield server
    server.stop()
