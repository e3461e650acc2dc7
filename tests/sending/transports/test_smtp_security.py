"""Encrypt and log in, or do not send."""

from __future__ import annotations

import base64

import pytest

from sending.errors import ConfigurationError, Phase, TransientError
from tests.sending.transports.script import Peer
from tests.sending.transports.sink import accept_ann

AUTH = {"authenticator": accept_ann, "auth_require_tls": False}
ANN = {"username": "ann", "password": "pässword"}


def yes() -> bool:
    return True


def test_starttls_with_a_trusted_certificate_encrypts(
    make_sink, make_transport, make_outgoing, certificate
):
    sink = make_sink(
        options={"tls_context": certificate.server_context, "require_starttls": True},
        is_pipelining=True,
    )
    transport = make_transport(sink.port, tls="starttls", ca_file=certificate.path)

    transport.send(make_outgoing(text="x" * 70 + "\n"), before_body=yes)
    transport.send(make_outgoing(text=("y" * 70 + "\n") * 10_000), before_body=yes)

    assert len(sink.envelopes) == 2
    assert sink.connections == 1


def test_tls_from_the_first_octet_encrypts(make_sink, make_transport, make_outgoing, certificate):
    sink = make_sink(implicit_tls=certificate.server_context)

    make_transport(sink.port, tls="tls", ca_file=certificate.path).send(
        make_outgoing(), before_body=yes
    )

    assert len(sink.envelopes) == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_an_unknown_certificate_is_a_configuration_error(
    make_sink, make_transport, make_outgoing, certificate, tls
):
    context = certificate.server_context
    sink = make_sink(
        implicit_tls=context if tls == "tls" else None,
        options={"tls_context": context} if tls == "starttls" else {},
    )

    with pytest.raises(ConfigurationError, match="cannot be trusted: self-signed") as refused:
        make_transport(sink.port, tls=tls).send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.TLS
    assert sink.envelopes == []


def test_a_certificate_for_another_name_is_a_configuration_error(
    make_sink, make_transport, make_outgoing, certificate
):
    sink = make_sink(implicit_tls=certificate.server_context)

    with pytest.raises(ConfigurationError, match="mismatch"):
        make_transport(sink.port, host="localhost", tls="tls", ca_file=certificate.path).send(
            make_outgoing(), before_body=yes
        )


def test_an_unknown_certificate_passes_where_the_operator_said_so(
    make_sink, make_transport, make_outgoing, certificate
):
    sink = make_sink(implicit_tls=certificate.server_context)
    transport = make_transport(sink.port, tls="tls", verify_certificate=False)

    transport.send(make_outgoing(), before_body=yes)

    assert len(sink.envelopes) == 1
    assert any("NOT verified" in finding.text for finding in transport.check())


def test_nothing_is_sent_in_clear_when_starttls_is_not_offered(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet("PIPELINING", "AUTH PLAIN")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(ConfigurationError, match="does not offer STARTTLS"):
        make_transport(server.port, tls="starttls", **ANN).send(make_outgoing(), before_body=yes)

    server.finish()
    assert server.lines[1:] == ["QUIT"]


def test_a_server_that_cannot_encrypt_just_now_is_transient(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet("STARTTLS")
        peer.hear("STARTTLS")
        peer.say("454 4.7.0 TLS not available due to local problem")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(TransientError, match=r"4\.7\.0") as refused:
        make_transport(server.port, tls="starttls").send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.TLS


def test_replies_injected_before_the_handshake_are_forgotten(
    scripted, make_transport, make_outgoing, certificate
):
    def script(peer: Peer) -> None:
        peer.greet("STARTTLS")
        peer.hear("STARTTLS")
        # One segment, as the attack needs it: the rest would be read as the answer to EHLO.
        peer.say("220 Go ahead", "250-forged", "250 AUTH PLAIN")
        encrypted = certificate.server_context.wrap_socket(peer.socket, server_side=True)
        secure = Peer(encrypted)
        secure.hear("EHLO")
        secure.say("250-genuine", "250 PIPELINING")
        secure.deliver()
        secure.hear_goodbye()
        secure.close()

    server = scripted(script)
    transport = make_transport(server.port, tls="starttls", ca_file=certificate.path)

    receipt = transport.send(make_outgoing(), before_body=yes)

    assert receipt.reply.code == 250
    transport.close()
    server.finish()


def test_a_server_without_tls_on_the_port_is_told_apart(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.say("220 plain.example.org")
        peer.socket.recv(1000)

    server = scripted(script)

    with pytest.raises(ConfigurationError, match="does not speak TLS on this port"):
        make_transport(server.port, tls="tls").send(make_outgoing(), before_body=yes)


def test_a_drop_in_the_handshake_is_transient(scripted, make_transport, make_outgoing):
    server = scripted(lambda peer: peer.socket.recv(1000))

    with pytest.raises(TransientError) as lost:
        make_transport(server.port, tls="tls").send(make_outgoing(), before_body=yes)

    assert lost.value.phase is Phase.TLS


def test_a_missing_ca_file_is_a_configuration_error(make_transport, make_outgoing):
    with pytest.raises(ConfigurationError, match="cannot read the CA file"):
        make_transport(1, tls="tls", ca_file="/nowhere/ca.pem").send(
            make_outgoing(), before_body=yes
        )


@pytest.mark.parametrize("excluded", ["LOGIN", "PLAIN"])
def test_either_mechanism_logs_in(make_sink, make_transport, make_outgoing, excluded):
    sink = make_sink(options={**AUTH, "auth_exclude_mechanism": [excluded]})
    transport = make_transport(sink.port, **ANN)

    transport.send(make_outgoing(), before_body=yes)

    assert len(sink.envelopes) == 1
    assert any("Logged in as ann" in finding.text for finding in transport.check())


@pytest.mark.parametrize("excluded", ["LOGIN", "PLAIN"])
def test_a_wrong_password_is_a_configuration_error(
    make_sink, make_transport, make_outgoing, excluded
):
    sink = make_sink(options={**AUTH, "auth_exclude_mechanism": [excluded]})
    transport = make_transport(sink.port, username="ann", password="guess")

    with pytest.raises(ConfigurationError, match="535") as refused:
        transport.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.AUTH
    assert sink.envelopes == []
    secrets = ("guess", base64.b64encode(b"\0ann\0guess").decode())
    assert not any(secret in str(refused.value) for secret in secrets)
    assert not transport.check()[-1].ok


@pytest.mark.parametrize(
    ("password", "opening"),
    [("long " * 100, "AUTH PLAIN"), ("short", "AUTH PLAIN AGFubgBzaG9ydA==")],
)
def test_credentials_go_behind_the_command_when_asked_for_or_too_long(
    scripted, make_transport, make_outgoing, password, opening
):
    """RFC 4954 section 4 keeps the command to 512 octets."""
    expected = base64.b64encode(f"\0ann\0{password}".encode()).decode()

    def script(peer: Peer) -> None:
        peer.greet("AUTH PLAIN")
        assert peer.hear() == opening
        peer.say("334 ")
        assert peer.hear() == expected
        peer.say("235 2.7.0 Welcome")
        peer.hear_goodbye()

    server = scripted(script)

    findings = make_transport(server.port, username="ann", password=password).check()

    server.finish()
    assert all(finding.ok for finding in findings)


def test_a_port_that_waits_for_tls_is_told_of(scripted, make_transport):
    server = scripted(lambda peer: peer.socket.recv(1))

    *_, finding = make_transport(server.port, command_timeout_seconds=0.2).check()

    assert not finding.ok
    assert "silent for 0.2 s; if it expects TLS from the start on this port" in finding.text


def test_a_login_service_that_is_away_is_transient(scripted, make_transport, make_outgoing):
    def script(peer: Peer) -> None:
        peer.greet("AUTH=PLAIN")
        peer.hear("AUTH PLAIN")
        peer.say("454 4.7.0 Temporary authentication failure")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(TransientError, match=r"4\.7\.0"):
        make_transport(server.port, **ANN).send(make_outgoing(), before_body=yes)


def test_mechanisms_that_we_do_not_know_are_a_configuration_error(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet("AUTH CRAM-MD5 NTLM")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(ConfigurationError, match="CRAM-MD5 NTLM"):
        make_transport(server.port, **ANN).send(make_outgoing(), before_body=yes)


def test_a_server_that_wants_a_login_we_do_not_have_is_a_configuration_error(
    scripted, make_transport, make_outgoing
):
    def script(peer: Peer) -> None:
        peer.greet("PIPELINING")
        peer.hear_envelope()
        peer.say(*["530 5.7.0 Authentication required"] * 3)
        peer.hear("RSET")
        peer.say("250 Ok")
        peer.hear_goodbye()

    server = scripted(script)

    with pytest.raises(ConfigurationError, match="530"):
        make_transport(server.port).send(make_outgoing(), before_body=yes)
