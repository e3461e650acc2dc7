"""Hand messages to Django's own backends."""

from __future__ import annotations

import email
import email.policy
import socket

import pytest
from django.core import mail

from sending.errors import (
    ConfigurationError,
    PermanentError,
    Phase,
    TransientError,
)
from sending.outgoing import Mailbox
from sending.replies import Kind, classify
from sending.transports import AnymailTransport
from tests.sending.transports.script import Peer

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


def yes() -> bool:
    return True


def smtp_backend(port: int, **options: object) -> AnymailTransport:
    return AnymailTransport(
        backend=SMTP_BACKEND,
        options={"host": "127.0.0.1", "port": port, "timeout": 2, **options},
    )


def test_the_smtp_backend_keeps_sender_and_envelope_apart(make_sink, make_outgoing):
    sink = make_sink()
    outgoing = make_outgoing(subject="Grüße")

    receipt = smtp_backend(sink.port).send(outgoing, before_body=yes)

    assert receipt.transport_id == ""  # Django's backends tell none
    [envelope] = sink.envelopes
    assert envelope.mail_from == "b+1a2b@bounce.example.com"
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["From"] == "The Shop <shop@example.com>"
    assert message["Subject"] == "Grüße"
    assert message["Message-ID"] == outgoing.message_id
    assert message["Date"].datetime == outgoing.date
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "text/html",
    ]


def test_a_local_part_outside_ascii_is_refused_by_a_plain_backend(make_outgoing):
    transport = AnymailTransport(backend="django.core.mail.backends.locmem.EmailBackend")

    with pytest.raises(PermanentError) as refused:
        transport.send(make_outgoing(recipient="jürgen@example.org"), before_body=yes)

    assert refused.value.reply.enhanced == "5.6.7"
    assert mail.outbox == []


@pytest.mark.parametrize("name", ["Grüße, Ann", 'The "Shop"', "back\\slash", ""])
def test_a_sender_name_arrives_as_it_is(make_sink, make_outgoing, name):
    sink = make_sink()
    outgoing = make_outgoing(sender=Mailbox("shop@example.com", name))

    smtp_backend(sink.port).send(outgoing, before_body=yes)

    content = sink.envelopes[0].content
    message = email.message_from_bytes(content, policy=email.policy.default)
    [address] = message["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "shop@example.com")


def test_the_smtp_backend_tells_a_refused_recipient(make_sink, make_outgoing):
    sink = make_sink(refused={"gone@example.org"})

    with pytest.raises(PermanentError) as refused:
        smtp_backend(sink.port).send(make_outgoing(recipient="gone@example.org"), before_body=yes)

    assert refused.value.phase is Phase.RCPT
    assert str(refused.value.reply) == "550 5.1.1 No such user"


def test_the_smtp_backend_may_refuse_the_sender(scripted, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet("8BITMIME")
        peer.hear("MAIL")
        peer.say("451-4.1.8 Domain", "451 4.1.8 not found")
        peer.hear("RSET")
        peer.say("250 Ok")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(TransientError, match=r"451 4\.1\.8 Domain not found") as refused:
        smtp_backend(server.port).send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.MAIL


def test_a_lost_connection_of_the_smtp_backend_is_ambiguous(scripted, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet("8BITMIME")
        for reply in ("250 Ok", "250 Ok", "354 Go"):
            peer.hear()
            peer.say(reply)
        peer.hear_body()

    server = scripted(script)

    with pytest.raises(TransientError) as lost:
        smtp_backend(server.port).send(make_outgoing(), before_body=yes)

    assert lost.value.is_ambiguous


def test_the_smtp_backend_connects_before_the_lease_is_asked_for(make_outgoing):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(TransientError) as lost:
        smtp_backend(port).send(make_outgoing(), before_body=lambda: pytest.fail("asked"))

    assert (lost.value.phase, lost.value.is_ambiguous) == (Phase.CONNECT, False)
    assert not smtp_backend(port).check()[0].ok


def test_the_smtp_backend_may_refuse_the_password(scripted, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet("AUTH PLAIN")
        peer.hear("AUTH PLAIN")
        peer.say("535 5.7.8 Bad credentials")
        peer.hear()

    server = scripted(script)

    with pytest.raises(ConfigurationError, match=r"535 5\.7\.8") as refused:
        smtp_backend(server.port, username="ann", password="guess").send(
            make_outgoing(), before_body=yes
        )

    assert refused.value.phase is Phase.AUTH


def test_the_locmem_backend_sends(make_outgoing):
    transport = AnymailTransport(backend="django.core.mail.backends.locmem.EmailBackend")

    transport.send(make_outgoing(html=""), before_body=yes)

    assert [message.to for message in mail.outbox] == [["ann@example.org"]]
    assert mail.outbox[0].message().get_content_type() == "text/plain"


def test_a_header_with_a_line_end_is_refused_for_good(make_outgoing):
    transport = AnymailTransport(backend="django.core.mail.backends.locmem.EmailBackend")

    with pytest.raises(PermanentError) as refused:
        transport.send(make_outgoing(subject="a\r\nBcc: eve@example.org"), before_body=yes)

    assert classify(refused.value.reply, phase=refused.value.phase).kind is Kind.CONTENT
