"""Read what servers say, however they put it, and tell refusals apart."""

from __future__ import annotations

import pytest

from sending.errors import LeaseLost, PermanentError, Phase, TransientError, TransportError
from tests.sending.transports.script import Peer

PIPELINING = "PIPELINING"


def yes() -> bool:
    return True


@pytest.mark.parametrize(
    ("replies", "phase", "error_class", "text"),
    [
        (("450 4.1.8 Bad sender", "503 No", "503 No"), Phase.MAIL, TransientError, "4.1.8"),
        (("550 5.1.8 Bad sender", "503 No", "503 No"), Phase.MAIL, PermanentError, "5.1.8"),
        (("250 Ok", "451 4.7.1 Greylisted", "503 No"), Phase.RCPT, TransientError, "4.7.1"),
        (("250 Ok", "550 5.1.1 Unknown", "503 No"), Phase.RCPT, PermanentError, "5.1.1"),
        (("250 Ok", "250 Ok", "451 4.3.0 No disk"), Phase.DATA, TransientError, "4.3.0"),
        (("250 Ok", "250 Ok", "554 5.5.1 No"), Phase.DATA, PermanentError, "5.5.1"),
        (("250 Ok", "250 Ok", "250 What?"), Phase.DATA, TransientError, "What?"),
    ],
)
@pytest.mark.parametrize("is_pipelining", [True, False])
def test_the_first_refusal_counts_and_the_connection_lives_on(
    scripted, make_transport, make_outgoing, is_pipelining, replies, phase, error_class, text
):
    def script(peer: Peer) -> None:
        peer.greet(*[PIPELINING] * is_pipelining)
        for command, reply in zip(("MAIL", "RCPT", "DATA"), replies, strict=True):
            peer.hear(command)
            peer.say(reply)
            if not is_pipelining and (reply[0] != "2" or command == "DATA"):
                break
        peer.hear("RSET")
        peer.say("250 Ok")
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)

    with pytest.raises(error_class, match=text) as refused:
        transport.send(make_outgoing(), before_body=lambda: pytest.fail("asked"))

    assert refused.value.phase is phase
    assert not refused.value.is_ambiguous
    transport.close()
    server.finish()


@pytest.mark.parametrize(
    ("reply", "error_class"),
    [
        ("451 4.3.0 Try later", TransientError),
        ("554 5.7.1 Spam", PermanentError),
        ("550 5.1.1 Unknown", PermanentError),
    ],
)
def test_a_refusal_after_the_dot_is_not_ambiguous(
    scripted, make_transport, make_outgoing, reply, error_class
):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.hear_body()
        peer.say(reply)
        peer.deliver()
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)

    with pytest.raises(error_class) as refused:
        transport.send(make_outgoing(), before_body=yes)
    receipt = transport.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.DOT
    assert not refused.value.is_ambiguous
    assert receipt.transport_id == "4XyZ1"
    transport.close()
    server.finish()


def test_data_accepted_without_a_recipient_gets_a_lone_dot(scripted, make_transport, make_outgoing):
    bodies = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()
        peer.say("250 Ok", "550 5.1.1 Unknown", "354 Go ahead")
        bodies.append(peer.hear_body())
        peer.say("554 5.5.1 No valid recipients")
        peer.hear("RSET")
        peer.say("250 Ok")
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)

    with pytest.raises(PermanentError, match=r"5\.1\.1") as refused:
        transport.send(make_outgoing(), before_body=lambda: pytest.fail("asked"))

    assert refused.value.phase is Phase.RCPT
    transport.close()
    server.finish()
    assert bodies == [b""]


def test_data_accepted_without_a_sender_sends_nobody_an_empty_message(
    scripted, make_transport, make_outgoing
):
    heard = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()
        peer.say("451 4.3.0 Not now", "250 Ok", "354 Go ahead")
        heard.append(peer.hear())

    server = scripted(script)

    with pytest.raises(TransientError, match=r"4\.3\.0"):
        make_transport(server.port).send(make_outgoing(), before_body=lambda: pytest.fail("asked"))

    server.finish()
    assert heard == [""]


def test_a_lost_lease_leaves_the_body_unfinished(scripted, make_transport, make_outgoing):
    left = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        left.append(peer.socket.recv(100))

    server = scripted(script)

    with pytest.raises(LeaseLost):
        make_transport(server.port).send(make_outgoing(), before_body=lambda: False)

    server.finish()
    assert left == [b""]


def test_replies_may_come_split_merged_and_in_many_lines(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.socket.sendall(b"220-one\r\n220-two\r\n22")
        peer.socket.sendall(b"0 three\r")
        peer.socket.sendall(b"\n")
        peer.hear("EHLO")
        peer.socket.sendall(b"250-x\r\n250-SIZE\r\n250-pipelining\n250 8BITMIME\r\n")
        peer.hear_envelope()
        for octet in b"250-2.1.0 Ok\r\n250 2.1.0 really\r\n250 2.1.5 Ok\r\n354\r\n":
            peer.socket.sendall(bytes([octet]))
        peer.hear_body()
        peer.say("250-2.0.0 Taken,", "250 2.0.0 id=1abc-0002")
        peer.hear_goodbye()

    server = scripted(script)
    transport = make_transport(server.port)

    receipt = transport.send(make_outgoing(), before_body=yes)

    assert str(receipt.reply) == "250 2.0.0 Taken, id=1abc-0002"
    assert receipt.transport_id == "1abc-0002"
    transport.close()
    server.finish()
    assert "SIZE=" in server.lines[1]


def send_to_refusal(scripted, make_transport, make_outgoing, octets: bytes) -> TransportError:
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()
        peer.socket.sendall(b"250 Ok\r\n" + octets)
        peer.hear()

    server = scripted(script)
    with pytest.raises(TransportError) as refused:
        make_transport(server.port).send(make_outgoing(), before_body=yes)
    return refused.value


def test_a_long_refusal_is_read_as_one_sentence(scripted, make_transport, make_outgoing):
    refused = send_to_refusal(
        scripted,
        make_transport,
        make_outgoing,
        b"550-5.1.1 The email account that you tried to reach does\r\n"
        b"550-5.1.1 not exist. Please try\r\n550 5.1.1 again. x1si - gsmtp\r\n503 No\r\n",
    )

    assert str(refused.reply) == (
        "550 5.1.1 The email account that you tried to reach does not exist. "
        "Please try again. x1si - gsmtp"
    )


def test_the_last_line_decides_when_codes_are_mixed(scripted, make_transport, make_outgoing):
    refused = send_to_refusal(
        scripted, make_transport, make_outgoing, b"250-fine\r\n550 but no\r\n503 No\r\n"
    )

    assert isinstance(refused, PermanentError)
    assert refused.reply.text == "fine but no"


def test_text_outside_ascii_and_control_characters_are_made_safe(
    scripted, make_transport, make_outgoing
):
    refused = send_to_refusal(
        scripted,
        make_transport,
        make_outgoing,
        "550 Empfänger ".encode() + b"\xff\x00\x1b[31m unbekannt\r\n503 No\r\n",
    )

    assert refused.reply.text == "Empfänger \ufffd [31m unbekannt"


@pytest.mark.parametrize(
    "octets",
    [
        b"550 " + b"x" * 5000 + b"\r\n",
        b"x" * 100_000,
        b"550-again\r\n" * 1000,
        b"999 What?\r\n",
        b"Hello\r\n",
        b"2500 Ok\r\n",
        b"\r\n",
    ],
)
def test_what_is_no_reply_ends_the_connection(scripted, make_transport, make_outgoing, octets):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()
        peer.socket.sendall(b"250 Ok\r\n" + octets)

    server = scripted(script)

    with pytest.raises(TransientError) as lost:
        make_transport(server.port).send(make_outgoing(), before_body=yes)

    assert lost.value.phase is Phase.RCPT
    assert not lost.value.is_ambiguous
