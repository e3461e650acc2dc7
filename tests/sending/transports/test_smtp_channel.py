"""Drive SMTP sessions from a loop: two messages at a time, and no answer on the wrong one."""

from __future__ import annotations

import contextlib
import gc
import select
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sending.errors import LeaseLost, PermanentError, Phase, TransientError
from sending.outgoing import Outgoing
from sending.transports import Receipt
from sending.transports.smtp import (
    Channel,
    ConnectionLost,
    Session,
    StaleConnection,
    Transaction,
    content_of,
)
from tests.sending.transports.script import Peer

PIPELINING = "PIPELINING"
BIG = "x" * 70 + "\n"


class Driver:
    """Drive a channel with select, as the lanes do, and keep what it yields."""

    def __init__(self, session: Session) -> None:
        self.channel = Channel(session)
        self.waiting: list[Transaction] = []
        self.ended: list[Transaction] = []
        self.writes: list[bytes] = []
        write_some = self.channel.wire.write_some

        def noted(octets: memoryview) -> int:
            count = write_some(octets)
            self.writes.append(bytes(octets[:count]))
            return count

        self.channel.wire.write_some = noted  # type: ignore[method-assign]

    def transaction(self, outgoing: Outgoing) -> Transaction:
        """Make a transaction for this session."""
        session = self.channel.session
        return Transaction(
            outgoing,
            content=content_of(outgoing),
            extensions=session.extensions,
            next_hop=str(session.relay),
        )

    def follow(self, moved: Iterable[Transaction]) -> None:
        """Keep what the channel yields."""
        for transaction in moved:
            (self.waiting if transaction.answer is None else self.ended).append(transaction)

    def turn(self) -> None:
        """Wait a moment for the socket, and let the channel go on."""
        wire, channel = self.channel.wire, self.channel
        readable, writable, _ = select.select([wire], [wire] if channel.is_writing else [], [], 0.1)
        if readable or writable:
            self.follow(channel.go_on(can_read=bool(readable), can_write=bool(writable)))

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn until something has come about."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            assert self.channel.session.is_open, "the session has ended"
            self.turn()

    def to_leave(self, outgoing: Outgoing) -> Transaction:
        """Bring a message as far as 354."""
        transaction = self.transaction(outgoing)
        self.follow(self.channel.start(transaction))
        self.until(lambda: self.waiting)
        assert self.waiting.pop() is transaction
        return transaction

    def chain(self, first: Outgoing, second: Outgoing) -> tuple[Transaction, Transaction]:
        """Send a body, with the next envelope behind it."""
        current, behind = self.to_leave(first), self.transaction(second)
        self.follow(self.channel.send_body(behind))
        return current, behind


@pytest.fixture
def drive(scripted, make_transport):
    """Open a session to a script and return its driver, and the server."""
    drivers: list[Driver] = []

    def start(script, **options):
        server = scripted(script)
        drivers.append(Driver(make_transport(server.port, **options).open_session()))
        return drivers[-1], server

    yield start
    for driver in drivers:
        driver.channel.session.drop()


def take_first(peer: Peer, *answers: str) -> None:
    """Take a body and the envelope behind it, and only then answer for the body."""
    peer.accept_envelope()
    peer.hear_body()
    peer.hear_envelope()
    peer.say(*answers)


def test_the_next_envelope_leaves_in_one_write_with_the_body(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer, "250 2.0.0 Ok: queued as A1", "250 Ok", "250 Ok", "354 Go")
        peer.hear_body()
        peer.say("250 2.0.0 Ok: queued as B2")

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing(recipient="bob@example.org"))
    driver.until(lambda: driver.waiting)
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: len(driver.ended) == 2)

    assert driver.ended == [first, second]
    assert [each.answer.transport_id for each in driver.ended] == ["A1", "B2"]
    assert len(driver.writes) == 3
    assert driver.writes[1].endswith(b"DATA\r\n")
    assert b"\r\n.\r\nMAIL FROM:" in driver.writes[1]
    assert driver.channel.is_idle
    assert driver.channel.session.messages == 2


def test_a_refused_body_leaves_the_one_behind_unharmed(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer, "554 5.7.1 Spam", "250 Ok", "250 Ok", "354 Go")
        peer.hear_body()
        peer.say("250 Ok")

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.until(lambda: driver.waiting)
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: driver.channel.is_idle)

    assert isinstance(first.answer, PermanentError)
    assert first.answer.reply.enhanced == "5.7.1"
    assert isinstance(second.answer, Receipt)


def test_a_refused_recipient_behind_leaves_the_acceptance_before_it(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer, "250 Ok", "250 Ok", "550 5.1.1 Who?", "503 No recipients")
        peer.hear("RSET")
        peer.say("250 Ok")

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.until(lambda: driver.channel.is_idle)

    assert isinstance(first.answer, Receipt)
    assert isinstance(second.answer, PermanentError)
    assert second.answer.phase is Phase.RCPT
    assert driver.channel.session.is_open


def test_a_farewell_to_the_one_behind_makes_it_stale_only(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer, "250 Ok", "421 Too many messages", "503 Bad order", "503 Bad order")
        assert peer.socket.recv(10) == b""  # it does not close by itself

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.until(lambda: len(driver.ended) == 2)

    assert driver.ended == [first, second]
    assert isinstance(first.answer, Receipt)
    assert isinstance(second.answer, StaleConnection)
    assert not driver.channel.session.is_open


def test_a_connection_lost_after_the_dot_is_ambiguous_for_the_first_only(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer)

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.until(lambda: len(driver.ended) == 2)

    assert isinstance(first.answer, TransientError)
    assert (first.answer.phase, first.answer.is_ambiguous) == (Phase.DOT, True)
    assert isinstance(second.answer, StaleConnection)
    assert not second.answer.is_ambiguous


def test_a_farewell_to_the_body_makes_the_one_behind_stale(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer, "421 4.3.2 Shutting down")

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.until(lambda: len(driver.ended) == 2)

    assert (first.answer.phase, first.answer.is_ambiguous) == (Phase.DOT, False)
    assert isinstance(second.answer, StaleConnection)


def test_a_connection_lost_before_the_first_answer_is_stale(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()

    driver, _ = drive(script)
    only = driver.transaction(make_outgoing())
    driver.follow(driver.channel.start(only))
    driver.until(lambda: driver.ended)

    assert isinstance(only.answer, StaleConnection)
    assert not driver.channel.session.is_open


def test_a_refusal_in_the_middle_of_the_body_is_the_answer(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.socket.recv(1000)
        peer.say("552 5.3.4 Message too big")
        server.released.wait(5)  # neither reads nor closes

    driver, server = drive(script)
    first, second = driver.chain(make_outgoing(text=BIG * 100_000), make_outgoing())
    driver.until(lambda: len(driver.ended) == 2)

    assert isinstance(first.answer, PermanentError)
    assert str(first.answer.reply) == "552 5.3.4 Message too big"
    assert (first.answer.phase, first.answer.is_ambiguous) == (Phase.BODY, False)
    assert isinstance(second.answer, StaleConnection)


def test_a_reset_in_the_middle_of_the_body_is_not_ambiguous(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.socket.recv(1000)
        peer.reset_connection()

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(text=BIG * 100_000), make_outgoing())
    driver.until(lambda: len(driver.ended) == 2)

    assert isinstance(first.answer, TransientError)
    assert (first.answer.phase, first.answer.is_ambiguous) == (Phase.BODY, False)
    assert isinstance(second.answer, StaleConnection)


def test_a_big_body_arrives_whole_and_its_dot_leaves_last(drive, make_outgoing):
    heard: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        server.released.wait(5)  # reads nothing at first
        heard.append(peer.hear_body())
        peer.say("250 Ok")

    driver, server = drive(script)
    only = driver.to_leave(make_outgoing(text=BIG * 100_000, html=""))
    driver.follow(driver.channel.send_body(None))
    for _ in range(3):
        driver.turn()
    assert driver.channel.is_writing
    assert not only.awaits_acceptance
    server.released.set()
    driver.until(lambda: driver.ended)

    assert isinstance(only.answer, Receipt)
    assert len(driver.writes) > 2
    assert heard[0].count(BIG.encode().strip()) == 100_000


def test_data_accepted_without_a_recipient_ends_with_a_lone_dot(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.hear_envelope()
        peer.say("250 Ok", "550 5.1.1 Who?", "354 Go")
        assert peer.hear_body() == b""
        peer.say("554 No valid recipients")
        peer.hear("RSET")
        peer.say("250 Ok")
        peer.deliver()

    driver, _ = drive(script)
    refused = driver.transaction(make_outgoing())
    driver.follow(driver.channel.start(refused))
    driver.until(lambda: driver.ended)
    assert isinstance(refused.answer, PermanentError)

    accepted = driver.to_leave(make_outgoing())
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: driver.channel.is_idle)
    assert isinstance(accepted.answer, Receipt)


def test_a_withdrawn_body_closes_the_connection_without_a_dot(drive, make_outgoing):
    rest: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        rest.append(peer.hear_body())

    driver, server = drive(script)
    withdrawn = driver.to_leave(make_outgoing())
    driver.follow(driver.channel.withdraw())
    server.finish()

    assert driver.ended == [withdrawn]
    assert isinstance(withdrawn.answer, LeaseLost)
    assert not driver.channel.session.is_open
    assert rest == [b""]


@pytest.mark.parametrize("farewell", [["421 4.4.2 Idle for too long"], []])
def test_an_idle_channel_that_is_told_to_go_is_dropped(drive, farewell):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.say(*farewell)
        if farewell:
            assert peer.socket.recv(10) == b""

    driver, _ = drive(script)
    driver.until(lambda: not driver.channel.session.is_open)

    assert driver.ended == []


def test_a_server_without_pipelining_gets_one_command_at_a_time(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet()
        for command, answer in (("MAIL", "250 Ok"), ("RCPT", "250 Ok"), ("DATA", "354 Go")):
            peer.hear(command)
            peer.say(answer)
        peer.hear_body()
        peer.say("250 Ok")

    driver, _ = drive(script)
    assert not driver.channel.is_pipelined
    only = driver.to_leave(make_outgoing())
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: driver.channel.is_idle)

    assert isinstance(only.answer, Receipt)
    assert [octets.split(b" ")[0] for octets in driver.writes[:2]] == [b"MAIL", b"RCPT"]
    assert driver.writes[2] == b"DATA\r\n"
    assert [octets.count(b"\n") for octets in driver.writes[:3]] == [1, 1, 1]


def test_an_encrypted_channel_carries_two_at_a_time(drive, make_outgoing, certificate):
    heard: list[bytes] = []

    def script(clear: Peer) -> None:
        context = certificate.server_context
        with contextlib.closing(Peer(context.wrap_socket(clear.socket, server_side=True))) as peer:
            peer.greet(PIPELINING)
            peer.accept_envelope()
            heard.append(peer.hear_body())
            peer.hear_envelope()
            # More than is read at once, in one record: the rest waits where no select sees it.
            peer.say(*[f"250-{'y' * 500}"] * 20, "250 Ok", "250 Ok", "250 Ok", "354 Go")
            heard.append(peer.hear_body())
            peer.say("250 Ok")

    driver, _ = drive(script, tls="tls", ca_file=certificate.path)
    first, second = driver.chain(make_outgoing(text=BIG * 30_000), make_outgoing())
    driver.until(lambda: driver.waiting)
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: driver.channel.is_idle)

    assert isinstance(first.answer, Receipt)
    assert isinstance(second.answer, Receipt)
    assert heard[0].count(BIG.encode().strip()) == 30_000


def test_a_silent_server_is_given_up(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        take_first(peer)
        assert peer.hear() == ""

    driver, _ = drive(script)
    first, second = driver.chain(make_outgoing(), make_outgoing())
    driver.follow(driver.channel.lose(ConnectionLost("silent", has_stalled=True)))

    assert driver.ended == [first, second]
    assert first.answer.is_ambiguous
    assert isinstance(second.answer, StaleConnection)


def test_a_change_of_mind_before_the_body_ends_the_message(drive, make_outgoing):
    rest: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.say("451 4.3.2 Not now after all")
        rest.append(peer.hear_body())

    driver, server = drive(script)
    only = driver.transaction(make_outgoing())
    driver.follow(driver.channel.start(only))
    driver.until(lambda: driver.ended)
    server.finish()

    assert isinstance(only.answer, TransientError)
    assert (only.answer.phase, only.answer.is_ambiguous) == (Phase.DATA, False)
    assert not driver.channel.waits_for_leave
    assert rest == [b""]


def test_patience_with_a_slow_reader_is_for_the_whole_body(drive, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        server.released.wait(5)
        peer.hear_body()

    driver, server = drive(script)
    driver.to_leave(make_outgoing(text=BIG * 100_000))
    driver.follow(driver.channel.send_body(None))
    deadline, writes = driver.channel.deadline, len(driver.writes)
    server.released.set()
    driver.until(lambda: len(driver.writes) > writes + 1)

    assert driver.channel.is_writing
    assert driver.channel.deadline == deadline


def test_a_message_goes_from_memory_as_it_ends(drive, make_outgoing):
    """A cycle would keep each body until the collector comes by, which is rarely."""

    def script(peer: Peer) -> None:
        peer.greet(PIPELINING)
        peer.accept_envelope()
        peer.hear_body()
        peer.say("250 2.0.0 Ok: queued as A1")

    driver, _ = drive(script)
    driver.to_leave(make_outgoing())
    driver.follow(driver.channel.send_body(None))
    driver.until(lambda: driver.ended)
    gc.disable()
    try:
        ended = weakref.ref(driver.ended.pop())
        assert ended() is None
    finally:
        gc.enable()


def test_an_encrypted_body_leaves_piece_by_piece(drive, make_outgoing, certificate):
    """So it is known whether its dot has left when the connection breaks behind it."""

    def script(clear: Peer) -> None:
        context = certificate.server_context
        with contextlib.closing(Peer(context.wrap_socket(clear.socket, server_side=True))) as peer:
            peer.greet(PIPELINING)
            peer.accept_envelope()
            server.released.wait(5)

    driver, server = drive(script, tls="tls", ca_file=certificate.path)
    driver.chain(make_outgoing(text=BIG * 100_000), make_outgoing())

    assert driver.channel.is_writing
    assert len(driver.writes[1]) > 0
