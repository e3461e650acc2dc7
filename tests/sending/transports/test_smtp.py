"""Hand messages to servers that behave."""

from __future__ import annotations

import email
import email.policy
import time

import pytest

from sending.errors import ConfigurationError, LeaseLost, PermanentError, Phase
from sending.mime import build
from sending.outgoing import Mailbox
from tests.sending.transports.lease import Lease


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.mark.parametrize("is_pipelining", [True, False])
def test_a_message_arrives_octet_for_octet(make_sink, make_transport, make_outgoing, is_pipelining):
    sink = make_sink(is_pipelining=is_pipelining)
    outgoing = make_outgoing(text="First\n.\n..two\n.hidden\nlast", subject="Grüße 🎉")

    receipt = make_transport(sink.port).send(outgoing, before_body=yes)

    [envelope] = sink.envelopes
    assert envelope.mail_from == "b+1a2b@bounce.example.com"
    assert envelope.rcpt_tos == ["ann@example.org"]
    assert envelope.content == build(outgoing)
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Subject"] == "Grüße 🎉"
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines() == [
        "First",
        ".",
        "..two",
        ".hidden",
        "last",
    ]
    assert (receipt.reply.code, receipt.reply.enhanced) == (250, "2.0.0")
    assert receipt.transport_id == "SINK1"


@pytest.mark.parametrize("is_pipelining", [True, False])
def test_a_refused_recipient_does_not_break_the_next_message(
    make_sink, make_transport, make_outgoing, is_pipelining
):
    sink = make_sink(is_pipelining=is_pipelining, refused={"gone@example.org"})
    transport = make_transport(sink.port)
    lease = Lease()

    with pytest.raises(PermanentError) as refused:
        transport.send(make_outgoing(recipient="gone@example.org"), before_body=lease)
    transport.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.RCPT
    assert str(refused.value.reply) == "550 5.1.1 No such user"
    assert not refused.value.is_ambiguous
    assert lease.asked == 0
    assert sink.connections == 1
    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["ann@example.org"]]


@pytest.mark.parametrize("is_pipelining", [True, False])
def test_nothing_is_sent_when_the_lease_is_lost(
    make_sink, make_transport, make_outgoing, is_pipelining
):
    sink = make_sink(is_pipelining=is_pipelining)
    transport = make_transport(sink.port)

    with pytest.raises(LeaseLost):
        transport.send(make_outgoing(), before_body=no)
    transport.send(make_outgoing(recipient="bob@example.org"), before_body=yes)

    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["bob@example.org"]]


def test_an_error_in_the_lease_check_sends_nothing(make_sink, make_transport, make_outgoing):
    sink = make_sink()
    transport = make_transport(sink.port)

    def fail() -> bool:
        raise RuntimeError("database is away")

    with pytest.raises(RuntimeError, match="database is away"):
        transport.send(make_outgoing(), before_body=fail)
    transport.send(make_outgoing(recipient="bob@example.org"), before_body=yes)

    assert [envelope.rcpt_tos for envelope in sink.envelopes] == [["bob@example.org"]]


def test_a_thousand_messages_take_ten_connections(make_sink, make_transport, make_outgoing):
    sink = make_sink(is_pipelining=True)
    transport = make_transport(sink.port, max_messages_per_connection=100)

    for number in range(1000):
        transport.send(make_outgoing(recipient=f"r{number}@example.org"), before_body=yes)

    assert sink.connections == 10
    assert [envelope.rcpt_tos[0] for envelope in sink.envelopes] == [
        f"r{number}@example.org" for number in range(1000)
    ]


def test_a_limit_of_zero_keeps_the_connection(make_sink, make_transport, make_outgoing):
    sink = make_sink(is_pipelining=True)
    transport = make_transport(sink.port, max_messages_per_connection=0)

    for _ in range(150):
        transport.send(make_outgoing(), before_body=yes)

    assert sink.connections == 1


def test_a_connection_idle_for_too_long_is_replaced(make_sink, make_transport, make_outgoing):
    sink = make_sink()
    transport = make_transport(sink.port, max_idle_seconds=0)

    transport.send(make_outgoing(), before_body=yes)
    transport.send(make_outgoing(), before_body=yes)

    assert sink.connections == 2


def test_a_server_that_closes_idle_connections_loses_and_doubles_nothing(
    make_sink, make_transport, make_outgoing
):
    sink = make_sink(options={"timeout": 0.05}, is_pipelining=True)
    transport = make_transport(sink.port)
    lease = Lease()

    for _ in range(3):
        transport.send(make_outgoing(), before_body=lease)
        time.sleep(0.15)

    assert len(sink.envelopes) == 3
    assert sink.connections == 3
    assert lease.asked == 3


def test_close_can_be_repeated_and_the_next_send_connects_again(
    make_sink, make_transport, make_outgoing
):
    sink = make_sink()
    transport = make_transport(sink.port)

    transport.close()
    transport.send(make_outgoing(), before_body=yes)
    transport.close()
    transport.close()
    transport.send(make_outgoing(), before_body=yes)

    assert sink.connections == 2


def test_a_message_over_the_offered_size_is_refused_here(make_sink, make_transport, make_outgoing):
    sink = make_sink(options={"data_size_limit": 500})
    transport = make_transport(sink.port)

    with pytest.raises(PermanentError, match=r"the server takes 500") as refused:
        transport.send(make_outgoing(text="x" * 600), before_body=yes)

    assert (refused.value.reply.code, refused.value.reply.enhanced) == (552, "5.3.4")
    assert sink.envelopes == []


def test_a_local_part_outside_ascii_needs_an_offer_of_smtputf8(
    make_sink, make_transport, make_outgoing
):
    outgoing = make_outgoing(recipient="jürgen@example.org")
    willing, unable = make_sink(options={"enable_SMTPUTF8": True}), make_sink()

    with pytest.raises(PermanentError) as refused:
        make_transport(unable.port).send(outgoing, before_body=yes)
    make_transport(willing.port).send(outgoing, before_body=yes)

    assert refused.value.reply.enhanced == "5.6.7"
    assert unable.envelopes == []
    [envelope] = willing.envelopes
    assert envelope.rcpt_tos == ["jürgen@example.org"]
    assert envelope.smtp_utf8


def test_an_ascii_message_asks_for_no_encoding(make_sink, make_transport, make_outgoing):
    sink = make_sink(options={"enable_SMTPUTF8": True})

    make_transport(sink.port).send(make_outgoing(), before_body=yes)

    assert [option.partition("=")[0] for option in sink.envelopes[0].mail_options] == ["SIZE"]


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": "ann@example.org>\r\nRCPT TO:<eve@example.org"},
        {"recipient": "ann@example.org\n"},
        {"recipient": "ann@example.org> NOTIFY=NEVER"},
        {"envelope_sender": "b@example.com\rDATA"},
        {"envelope_sender": "b@example.com\x00"},
    ],
)
def test_an_address_cannot_smuggle_a_command(make_sink, make_transport, make_outgoing, fields):
    sink = make_sink(is_pipelining=True)

    with pytest.raises(PermanentError):
        make_transport(sink.port).send(make_outgoing(**fields), before_body=yes)

    assert sink.envelopes == []


def test_a_message_that_cannot_be_written_is_refused_for_good(
    make_sink, make_transport, make_outgoing
):
    sink = make_sink()

    with pytest.raises(PermanentError, match="No message can be made") as refused:
        make_transport(sink.port).send(
            make_outgoing(subject="a\r\nBcc: eve@x.org"), before_body=yes
        )

    assert refused.value.reply.enhanced == "5.6.0"
    assert sink.connections == 0


def test_the_null_sender_is_sent_as_an_empty_path(make_sink, make_transport, make_outgoing):
    sink = make_sink()

    make_transport(sink.port).send(
        make_outgoing(envelope_sender="", sender=Mailbox("shop@example.com")), before_body=yes
    )

    assert sink.envelopes[0].mail_from == "<>"  # aiosmtpd's word for it


def test_check_tells_what_it_saw_and_sends_nothing(make_sink, make_transport):
    sink = make_sink(is_pipelining=True)

    findings = make_transport(sink.port).check()

    assert all(finding.ok for finding in findings)
    story = " ".join(finding.text for finding in findings)
    assert f"Connected to 127.0.0.1:{sink.port}" in story
    assert "sink.example.org" in story
    assert "PIPELINING" in story
    assert sink.envelopes == []


def test_an_unknown_tls_mode_is_a_configuration_error(make_transport, make_outgoing):
    with pytest.raises(ConfigurationError, match="none, starttls, tls"):
        make_transport(25, tls="ssl").send(make_outgoing(), before_body=yes)
