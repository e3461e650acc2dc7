"""Speak to the mail servers that people run: Postfix, Exim and OpenSMTPD."""

from __future__ import annotations

import re

import pytest

from sending.errors import ConfigurationError, LeaseLost, PermanentError, Phase
from sending.mime import build
from sending.outgoing import Outgoing
from tests.rig.mail_servers import MAX_OCTETS, PASSWORD, USERNAME, MailServer
from tests.sending.transports.lease import Lease
from tests.sending.transports.real_servers import (
    EXIM,
    OPENSMTPD,
    POSTFIX,
    only,
    parse,
    subjects,
)

pytestmark = pytest.mark.integration

TRACE = {"return-path", "received", "x-original-to", "delivered-to", "envelope-to", "delivery-date"}
# How long a connection may be.
THREE_MESSAGES = [
    (EXIM, "smtp_accept_max_per_connection = 3"),
    (OPENSMTPD, "smtp limit max-mails 3"),
]
ONE_SECOND = [(POSTFIX, "smtpd_timeout = 1s"), (EXIM, "smtp_receive_timeout = 1s")]


def yes() -> bool:
    return True


def _as_delivered(outgoing: Outgoing) -> bytes:
    return build(outgoing).replace(b"\r\n", b"\n")


def test_a_message_arrives_octet_for_octet(server, make_transport, make_outgoing):
    outgoing = make_outgoing(
        text=".\n..two\n.hidden\n" + "long " * 500 + "\nFrom here\nlast",
        subject="Grüße 🎉 an alle, die so lange Betreffzeilen lesen, dass sie gefaltet werden",
        headers=(("List-Unsubscribe", f"<https://example.com/{'u' * 950}>"),),
    )

    make_transport(server.port).send(outgoing, before_body=yes)

    [arrived] = server.arrived(1)
    assert arrived.endswith(_as_delivered(outgoing))
    trace = parse(arrived.removesuffix(_as_delivered(outgoing)))
    assert {name.lower() for name in trace} <= TRACE


def test_an_address_outside_ascii_takes_smtputf8(server, make_transport, make_outgoing):
    outgoing = make_outgoing(recipient="jürgen@example.org")
    transport = make_transport(server.port)
    is_offered = any("SMTPUTF8" in finding.text for finding in transport.check())

    if is_offered:
        transport.send(outgoing, before_body=yes)

        [arrived] = server.arrived(1)
        assert arrived.endswith(_as_delivered(outgoing))  # eight bits, unconverted
        assert "To: jürgen@example.org\n".encode() in arrived
    else:
        with pytest.raises(PermanentError) as refused:
            transport.send(outgoing, before_body=yes)
        assert refused.value.reply.enhanced == "5.6.7"


def test_messages_of_one_connection_keep_their_own_answers(server, make_transport, make_outgoing):
    transport = make_transport(server.port)
    before = server.connections
    ids = {}
    for number in range(20):
        outgoing = make_outgoing(subject=f"Message {number}")
        ids[f"Message {number}"] = transport.send(outgoing, before_body=yes).transport_id

    arrived = [(parse(octets)["Subject"], octets) for octets in server.arrived(20)]
    assert sorted(subject for subject, _ in arrived) == sorted(ids)
    assert len(set(ids.values())) == 20
    assert all(f"id {ids[subject]}".encode() in octets for subject, octets in arrived)
    assert server.connections - before == 1


@only(EXIM)
def test_pipelining_is_used_where_it_is_offered(server, make_transport, make_outgoing):
    outgoing = make_outgoing()

    make_transport(server.port).send(outgoing, before_body=yes)

    # Exim writes "L-" when the client made no use of it, and "." for pipelining before EHLO.
    assert re.search(r" L\.? ", server.logged(f"<= .*{outgoing.message_id.strip('<>')}"))


def test_a_refused_recipient_does_not_break_its_neighbours(server, make_transport, make_outgoing):
    transport = make_transport(server.port)
    before = server.connections
    lease = Lease()

    transport.send(make_outgoing(subject="First"), before_body=yes)
    with pytest.raises(PermanentError) as refused:
        transport.send(make_outgoing(recipient="nobody@example.org"), before_body=lease)
    transport.send(make_outgoing(subject="Last"), before_body=yes)

    assert refused.value.phase is Phase.RCPT
    assert refused.value.reply.code in (550, 524)
    assert lease.asked == 0
    assert subjects(server.arrived(2)) == ["First", "Last"]
    assert server.connections - before == 1


def test_each_of_many_refused_recipients_is_told_so(server, make_transport, make_outgoing):
    """Servers lose patience with who errs often, and close: that must not look like an answer."""
    transport = make_transport(server.port)

    for number in range(60):
        with pytest.raises(PermanentError) as refused:
            transport.send(make_outgoing(recipient=f"no{number}@example.org"), before_body=yes)
        assert refused.value.phase is Phase.RCPT
        assert refused.value.reply.code in (550, 524)
    transport.send(make_outgoing(), before_body=yes)

    assert len(server.arrived(1)) == 1


def test_a_message_that_is_too_large_is_refused_before_its_body(
    server, make_transport, make_outgoing
):
    transport = make_transport(server.port)
    lease = Lease()

    with pytest.raises(PermanentError, match=f"takes {MAX_OCTETS}") as refused:
        transport.send(make_outgoing(text="x" * MAX_OCTETS), before_body=lease)
    transport.send(make_outgoing(), before_body=yes)

    assert (refused.value.phase, refused.value.reply.enhanced) == (Phase.MAIL, "5.3.4")
    assert lease.asked == 0
    assert len(server.arrived(1)) == 1


def test_a_message_without_the_lease_reaches_nobody(server, make_transport, make_outgoing):
    transport = make_transport(server.port)

    with pytest.raises(LeaseLost):
        transport.send(make_outgoing(subject="Not ours"), before_body=lambda: False)
    transport.send(make_outgoing(subject="Ours"), before_body=yes)

    assert subjects(server.arrived(1)) == ["Ours"]


@only(POSTFIX, EXIM)
def test_content_that_is_refused_does_not_break_the_next(server, make_transport, make_outgoing):
    transport = make_transport(server.port)
    before = server.connections

    with pytest.raises(PermanentError, match="not wanted") as refused:
        transport.send(make_outgoing(subject="refuse this"), before_body=yes)
    transport.send(make_outgoing(), before_body=yes)

    assert (refused.value.phase, refused.value.is_ambiguous) == (Phase.DOT, False)
    assert len(server.arrived(1)) == 1
    assert server.connections - before == 1


def test_a_bounce_names_the_message_and_the_recipient(server, make_transport, make_outgoing):
    outgoing = make_outgoing(recipient="lost@example.org")
    transport = make_transport(server.port)

    transport.send(outgoing, before_body=yes)

    bounce = server.arrived(1, box="bounces")[0].decode()
    assert "Action: failed" in bounce
    assert f"Message-ID: {outgoing.message_id}" in bounce  # RET=HDRS
    if server.package == OPENSMTPD:  # it offers DSN, but leaves this out
        return
    assert str(outgoing.html) not in bounce
    fields = {line.lower().replace("; ", ";") for line in bounce.splitlines()}
    assert f"original-envelope-id: {outgoing.id}" in fields
    assert "original-recipient: rfc822;lost@example.org" in fields


@only(POSTFIX, EXIM)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_messages_go_encrypted(server, make_transport, make_outgoing, certificate, tls):
    transport = make_transport(_port(server, tls), tls=tls, ca_file=certificate.path)
    outgoings = [make_outgoing(text=f"{number}\n" * 20_000) for number in range(3)]

    for outgoing in outgoings:
        transport.send(outgoing, before_body=yes)

    arrived = server.arrived(3)
    for outgoing in outgoings:
        assert any(octets.endswith(_as_delivered(outgoing)) for octets in arrived)
    assert all(finding.ok for finding in transport.check())


@only(POSTFIX, EXIM)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_certificate_for_another_name_is_a_configuration_error(
    server, make_transport, make_outgoing, certificate, tls
):
    transport = make_transport(
        _port(server, tls), host="localhost", tls=tls, ca_file=certificate.path
    )

    with pytest.raises(ConfigurationError, match="mismatch") as refused:
        transport.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.TLS


@only(EXIM)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_the_right_password_is_let_in_and_a_wrong_one_is_a_configuration_error(
    server, make_transport, make_outgoing, certificate, tls
):
    """It offers PLAIN on one port and LOGIN on the other."""
    options = {"tls": tls, "ca_file": certificate.path, "username": USERNAME}
    port = _port(server, tls)

    make_transport(port, password=PASSWORD, **options).send(make_outgoing(), before_body=yes)
    with pytest.raises(ConfigurationError) as refused:
        make_transport(port, password="wrong", **options).send(make_outgoing(), before_body=yes)

    assert (refused.value.phase, refused.value.reply.code) == (Phase.AUTH, 535)
    mechanism = "plain" if tls == "starttls" else "login"
    assert server.logged(f" <= .* A={mechanism}:{USERNAME} ")


@pytest.mark.parametrize(("package", "settings"), THREE_MESSAGES)
def test_a_limit_of_messages_per_connection_costs_no_message(
    start, make_transport, make_outgoing, package, settings
):
    limited = start(package, settings)
    transport = make_transport(limited.port)
    lease = Lease()

    for number in range(8):
        transport.send(make_outgoing(subject=str(number)), before_body=lease)

    assert subjects(limited.arrived(8)) == [str(number) for number in range(8)]
    assert lease.asked == 8
    assert limited.connections == 3


@pytest.mark.parametrize(("package", "settings"), ONE_SECOND)
def test_a_server_that_closes_an_idle_connection_costs_no_message(
    start, make_transport, make_outgoing, certificate, package, settings
):
    hasty = start(package, settings)
    transport = make_transport(hasty.port, tls="starttls", ca_file=certificate.path)

    transport.send(make_outgoing(subject="First"), before_body=yes)
    hasty.logged("timeout")
    transport.send(make_outgoing(subject="Second"), before_body=yes)

    assert subjects(hasty.arrived(2)) == ["First", "Second"]
    assert hasty.connections == 2


def _port(server: MailServer, tls: str) -> int:
    return server.port if tls == "starttls" else server.tls_port
