"""Give tests messages, transports, and real next hops on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from sending.outgoing import Mailbox, Outgoing
from sending.transports import SmtpTransport
from tests.sending.transports.provider import ProviderStub
from tests.sending.transports.script import Script, ScriptedServer
from tests.sending.transports.sink import Sink

MakeOutgoing = Callable[..., Outgoing]
MakeTransport = Callable[..., SmtpTransport]


@pytest.fixture
def make_outgoing() -> MakeOutgoing:
    """Make a message that may be sent as it is; any field can be given."""

    def make(**fields: Any) -> Outgoing:
        key = uuid4()
        values: dict[str, Any] = {
            "id": key,
            "claim": 1,
            "envelope_sender": "b+1a2b@bounce.example.com",
            "recipient": "ann@example.org",
            "sender": Mailbox("shop@example.com", "The Shop"),
            "subject": "Your order",
            "text": "Thank you.\n",
            "html": "<p>Thank you.</p>\n",
            "message_id": f"<{key}@example.com>",
            "date": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
        }
        return Outgoing(**{**values, **fields})

    return make


@pytest.fixture
def make_transport() -> Iterator[MakeTransport]:
    """Make SMTP transports with short patience; they are closed in the end."""
    transports: list[SmtpTransport] = []

    def make(port: int, **options: Any) -> SmtpTransport:
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "tls": "none",
            "local_hostname": "client.example.com",
            "connect_timeout_seconds": 2,
            "command_timeout_seconds": 5,
            "data_timeout_seconds": 5,
        }
        transports.append(SmtpTransport(**{**values, **options}))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@pytest.fixture
def make_sink() -> Iterator[Callable[..., Sink]]:
    sinks: list[Sink] = []

    def make(**fields: Any) -> Sink:
        sink = Sink(**fields)
        sink.start()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.stop()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(*scripts: Script) -> ScriptedServer:
        servers.append(ScriptedServer(*scripts))
        return servers[-1]

    yield start
    for server in servers:
        server.finish()


@pytest.fixture
def provider() -> Iterator[ProviderStub]:
    stub = ProviderStub()
    yield stub
    stub.stop()
