"""Meet servers that break and stall, at every phase of a message."""

from __future__ import annotations

import pytest

from sending.errors import PermanentError, Phase, TransientError
from tests.sending.transports.lease import Lease
from tests.sending.transports.script import Peer, Script

PIPELINING = "PIPELINING"


def yes() -> bool:
    return True


def drop_at_connect(peer: Peer) -> None:
    pass


def reset_at_connect(peer: Peer) -> None:
    peer.reset_connection()


def drop_at_ehlo(peer: Peer) -> None:
    peer.say("220 hello")
    peer.hear("EHLO")


def drop_at_mail(peer: Peer) -> None:
    peer.greet(PIPELINING)
    peer.hear("MAIL")


def drop_at_rcpt(peer: Peer) -> None:
    drop_at_mail(peer)
    peer.say("250 Ok")
    peer.hear("RCPT")


def drop_at_data(peer: Peer) -> None:
    drop_at_rcpt(peer)
    peer.say("250 Ok")
    peer.hear("DATA")


def drop_after_dot(peer: Peer) -> None:
    peer.greet(PIPELINING)
    peer.accept_envelope()
    peer.hear_body()


def half_an_answer_after_dot(peer: Peer) -> None:
    drop_after_dot(peer)
    peer.socket.sendall(b"250-2.0.0 O")


def nonsense_after_dot(peer: Peer) -> None:
    drop_after_dot(peer)
    peer.say("HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("script", "phase", "is_ambiguous"),
    [
        (drop_at_connect, Phase.GREETING, False),
        (drop_at_ehlo, Phase.GREETING, False),
        (drop_at_mail, Phase.MAIL, False),
        (drop_at_rcpt, Phase.RCPT, False),
        (drop_at_data, Phase.DATA, False),
        (drop_after_dot, Phase.DOT, True),
        (half_an_answer_after_dot, Phase.DOT, True),
        (nonsense_after_dot, Phase.DOT, True),
    ],
)
def test_a_drop_is_ambiguous_only_after_the_dot(
    scripted, make_transport, make_outgoing, script: Script, phase, is_ambiguous
):
    server = scripted(script)
    lease = Lease()

    with pytest.raises(TransientError) as lost:
        make_transport(server.port).send(make_outgoing(), before_body=lease)

    assert lost.value.phase is phase
    assert lost.value.is_ambiguous is is_ambiguous
    assert lost.value.reply.code == 0
    assert lease.asked == (phase is Phase.DOT)


def test_a_refused_connection_is_transient(make_transport, make_outgoing, scripted):
    server = scripted()
    server.finish()

    with pytest.raises(TransientError, match="no connection") as lost:
        make_transport(server.port).send(make_outgoing(), before_body=yes)

    assert lost.value.phase is Phase.CONNECT


def test_an_unknown_host_is_transient(make_transport, make_outgoing):
    transport = make_transport(25, host="relay.invalid")

    with pytest.raises(TransientError, match=r"relay\.invalid:25") as lost:
        transport.send(make_outgoing(), before_body=yes)

    assert lost.value.phase is Phase.CONNECT


def test_a_drop_in_the_middle_of_the_body_is_not_ambiguous(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.socket.recv(1000)
        peer.reset_connection()

    server = scripted(script)

    with pytest.raises(TransientError) as lost:
        make_transport(server.port).send(make_outgoing(text="x\n" * 2_500_000), before_body=yes)

    assert lost.value.phase is Phase.BODY
    assert not lost.value.is_ambiguous


def test_a_reason_given_in_the_middle_of_the_body_is_read(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.socket.recv(1000)
        peer.say("552 5.3.4 Message too big")
        server.released.wait(5)  # neither reads nor closes

    server = scripted(script)
    transport = make_transport(server.port, data_timeout_seconds=0.3)

    with pytest.raises(PermanentError) as refused:
        transport.send(make_outgoing(text="x\n" * 2_500_000), before_body=yes)

    assert str(refused.value.reply) == "552 5.3.4 Message too big"
    assert refused.value.phase is Phase.BODY


def stall_at_greeting(peer: Peer) -> None:
    peer.hear()


def stall_at_rcpt(peer: Peer) -> None:
    peer.greet(PIPELINING)
    peer.hear_envelope()
    peer.say("250 Ok")
    peer.hear()


def stall_after_dot(peer: Peer) -> None:
    drop_after_dot(peer)
    peer.hear()


def test_a_reset_connection_is_safe_to_retry(scripted, make_transport, make_outgoing):
    server = scripted(reset_at_connect)

    with pytest.raises(TransientError) as lost:
        make_transport(server.port).send(make_outgoing(), before_body=Lease())

    # The reset may come before or after the kernel calls the connection made.
    assert lost.value.phase in (Phase.CONNECT, Phase.GREETING)
    assert not lost.value.is_ambiguous


@pytest.mark.parametrize(
    ("script", "phase", "is_ambiguous"),
    [
        (stall_at_greeting, Phase.GREETING, False),
        (stall_at_rcpt, Phase.RCPT, False),
        (stall_after_dot, Phase.DOT, True),
    ],
)
def test_patience_ends(scripted, make_transport, make_outgoing, script, phase, is_ambiguous):
    server = scripted(script)
    transport = make_transport(server.port, command_timeout_seconds=0.2, data_timeout_seconds=0.2)

    with pytest.raises(TransientError, match=r"silent for 0\.2 s") as lost:
        transport.send(make_outgoing(), before_body=yes)

    assert lost.value.phase is phase
    assert lost.value.is_ambiguous is is_ambiguous


def test_a_server_that_trickles_octets_does_not_hold_us(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.socket.sendall(b"220")
        while not server.released.wait(0.05):
            peer.socket.sendall(b"-")

    server = scripted(script)

    with pytest.raises(TransientError, match="silent for"):
        make_transport(server.port, command_timeout_seconds=0.3).send(
            make_outgoing(), before_body=yes
        )

    server.released.set()


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.RCPT, Phase.DOT])
def test_a_421_closes_the_connection(scripted, make_transport, make_outgoing, phase):
    farewell = "421 4.3.2 Shutting down"

    def script(peer: Peer) -> None:
        if phase is Phase.GREETING:
            peer.say(farewell)
        else:
            peer.greet(PIPELINING)
            peer.hear_envelope()
            peer.say("250 Ok", *([farewell] if phase is Phase.RCPT else ["250 Ok", "354 Go"]))
        if phase is Phase.DOT:
            peer.hear_body()
            peer.say(farewell)
        assert peer.socket.recv(10) == b""

    def next_script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.deliver()
        peer.hear_goodbye()

    server = scripted(script, next_script)
    transport = make_transport(server.port)

    with pytest.raises(TransientError, match=r"4\.3\.2") as refused:
        transport.send(make_outgoing(), before_body=yes)
    transport.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is phase
    assert not refused.value.is_ambiguous
    transport.close()
    server.finish()


def say_farewell(peer: Peer) -> None:
    peer.say("421 4.4.2 Idle for too long")


def say_nothing(peer: Peer) -> None:
    pass


@pytest.mark.parametrize("leave", [say_farewell, say_nothing, Peer.reset_connection])
def test_a_kept_connection_that_died_is_replaced_once(
    scripted, make_transport, make_outgoing, leave
):
    def first(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.deliver()
        leave(peer)

    def second(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.deliver()
        peer.hear_goodbye()

    server = scripted(first, second)
    transport = make_transport(server.port)
    lease = Lease()

    for _ in range(2):
        transport.send(make_outgoing(), before_body=lease)

    transport.close()
    server.finish()
    assert lease.asked == 2


def test_a_new_connection_that_dies_is_not_replaced(scripted, make_transport, make_outgoing):
    server = scripted(drop_at_mail, drop_at_mail)

    with pytest.raises(TransientError):
        make_transport(server.port).send(make_outgoing(), before_body=yes)

    assert len(server.peers) == 1


def test_a_connection_that_dies_after_mail_was_answered_is_not_replaced(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.deliver()
        peer.hear("MAIL")
        peer.say("250 Ok")

    server = scripted(script, drop_at_mail)
    transport = make_transport(server.port)
    transport.send(make_outgoing(), before_body=yes)

    with pytest.raises(TransientError) as lost:
        transport.send(make_outgoing(), before_body=yes)

    assert lost.value.phase is Phase.RCPT
    assert len(server.peers) == 1


@pytest.mark.parametrize("farewell", ["500 What?", ""])
def test_what_the_server_says_to_quit_does_not_matter(
    scripted, make_transport, make_outgoing, farewell
):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.deliver()
        peer.hear("QUIT")
        peer.say(*[farewell] if farewell else [])

    server = scripted(script)
    transport = make_transport(server.port)
    transport.send(make_outgoing(), before_body=yes)

    transport.close()

    server.finish()


def test_a_connection_that_carried_all_it_may_is_replaced(scripted, make_transport, make_outgoing):
    """OpenSMTPD refuses MAIL then, and keeps the connection."""

    def first(peer: Peer) -> None:
        peer.greet("PIPELINING")
        peer.deliver()
        peer.hear_envelope()
        peer.say("452 4.5.3 Too many messages sent", "503 5.5.1 No MAIL", "503 5.5.1 No RCPT")
        peer.hear_goodbye()

    def second(peer: Peer) -> None:
        peer.greet("PIPELINING")
        peer.deliver()
        peer.hear_goodbye()

    server = scripted(first, second)
    transport = make_transport(server.port)

    transport.send(make_outgoing(), before_body=yes)
    transport.send(make_outgoing(), before_body=yes)

    transport.close()
    server.finish()
    assert len(server.peers) == 2


def test_the_same_on_a_new_connection_is_put_off(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet()
        peer.hear("MAIL")
        peer.say("452 4.5.3 Too many messages today")
        peer.hear()

    server = scripted(script)

    with pytest.raises(TransientError, match=r"4\.5\.3"):
        make_transport(server.port).send(make_outgoing(), before_body=yes)
