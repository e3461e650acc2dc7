"""Use what a server offers, and nothing else."""

from __future__ import annotations

import pytest

from sending.errors import PermanentError, Phase, TransientError
from tests.sending.transports.script import Peer

PIPELINING = "PIPELINING"


def yes() -> bool:
    return True


def test_a_server_without_extensions_is_greeted_with_helo(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.say("220 old.example.org")
        peer.hear("EHLO client.example.com")
        peer.say("502 Unimplemented")
        peer.hear("HELO client.example.com")
        peer.say("250 old.example.org")
        for reply in ("250 Ok", "250 Ok", "354 Go"):
            peer.hear()
            peer.say(reply)
        peer.hear_body()
        peer.say("250 Ok")
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)

    receipt = transport.send(make_outgoing(), before_body=yes)

    assert (receipt.reply.code, receipt.reply.enhanced, receipt.transport_id) == (250, "", "")
    transport.close()
    server.finish()
    assert server.lines[2:5] == [
        "MAIL FROM:<b+1a2b@bounce.example.com>",
        "RCPT TO:<ann@example.org>",
        "DATA",
    ]


@pytest.mark.parametrize(
    "replies", [("554 5.7.1 Your address is listed",), ("220 hi", "550 Bad HELO", "550 Bad HELO")]
)
def test_a_refusal_before_the_envelope_is_transient(
    scripted, make_transport, make_outgoing, replies
):
    def script(peer: Peer) -> None:
        for reply in replies:
            peer.say(reply)
            peer.hear()

    server = scripted(script)

    with pytest.raises(TransientError, match=r"listed|Bad HELO") as refused:
        make_transport(server.port).send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.GREETING
    assert refused.value.reply.code >= 550


def test_reports_are_asked_for_where_they_are_offered(scripted, make_transport, make_outgoing):
    outgoing = make_outgoing(recipient="ann+shop=1@example.org")

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING, "DSN")
        peer.deliver()
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)
    transport.send(outgoing, before_body=yes)
    transport.close()
    server.finish()

    assert server.lines[1] == (
        f"MAIL FROM:<b+1a2b@bounce.example.com> RET=HDRS ENVID={outgoing.id}"
    )
    assert server.lines[2] == (
        "RCPT TO:<ann+shop=1@example.org> NOTIFY=FAILURE,DELAY "
        "ORCPT=rfc822;ann+2Bshop+3D1@example.org"
    )


def test_a_message_that_needs_eight_bits_is_refused_where_they_are_not_offered(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING, "SMTPUTF8")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(PermanentError) as refused:
        make_transport(server.port).send(
            make_outgoing(recipient="jürgen@example.org"), before_body=yes
        )

    assert refused.value.reply.enhanced == "5.6.3"


def test_check_tells_where_it_failed(scripted, make_transport):
    server = scripted(lambda peer: peer.say("554 5.3.2 Closed today"))

    connected, greeted = make_transport(server.port).check()

    assert connected.ok
    assert not greeted.ok
    assert "554 5.3.2 Closed today" in greeted.text
