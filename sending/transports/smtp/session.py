"""Open and keep one SMTP session: greeting, EHLO, TLS, credentials (RFC 5321, 3207, 4954)."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field

from sending.errors import ConfigurationError, Phase, Reply, TransientError, TransportError
from sending.transports.base import read_reply, refusal
from sending.transports.smtp.wire import ConnectionLost, Wire

_QUIT_SECONDS = 5
_MAX_AUTH_COMMAND = 510  # RFC 4954 section 4; an answer to 334 may have 12288 octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A server that takes our mail, and on what terms; ``SmtpTransport`` explains the fields."""

    host: str
    port: int
    tls: str
    username: str
    password: str = field(repr=False)
    verify_certificate: bool
    ca_file: str
    local_hostname: str
    connect_timeout_seconds: float
    command_timeout_seconds: float
    data_timeout_seconds: float

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Session:
    """One connection to a relay. ``notes`` tells in words how far opening it got.

    ``is_open``: whether there is a connection, as far as is known on this side.
    """

    def __init__(self, relay: Relay, *, context: ssl.SSLContext | None) -> None:
        self.relay = relay
        self.extensions: dict[str, str] = {}
        self.messages = 0
        self.used_at = time.monotonic()
        self.notes: list[str] = []
        self._context = context
        self._wire: Wire | None = None
        self.is_open = False
        self._phase = Phase.CONNECT

    def open(self) -> None:
        """Connect, secure and authenticate; raises TransientError or ConfigurationError."""
        try:
            self._connect()
            self._greet()
            if self.relay.tls == "starttls":
                self._start_tls()
            if self.relay.username:
                self._authenticate()
        except ConnectionLost as error:
            self.drop()
            text = f"{self.relay}: {error} (phase {self._phase})"
            raise TransientError(text, phase=self._phase, reply=Reply(text=str(error))) from error
        except TransportError:
            self.quit()
            raise

    def write(self, octets: bytes, *, seconds: float | None = None) -> None:
        """Write all octets; raises ConnectionLost when the last one did not leave."""
        self.wire().write(octets, seconds=seconds or self.relay.command_timeout_seconds)

    def read(self, *, seconds: float | None = None) -> Reply:
        """Read one reply, and close the connection when it is the server's farewell (421)."""
        code, lines = self._read_lines(seconds=seconds)
        return read_reply(code, lines)

    def note_message(self) -> None:
        """Count a message that was tried, and remember when."""
        self.messages += 1
        self.used_at = time.monotonic()

    def quit(self) -> None:
        """Say goodbye and close; whether the server answers is of no interest."""
        with contextlib.suppress(ConnectionLost):
            self.write(b"QUIT\r\n", seconds=_QUIT_SECONDS)
            self.read(seconds=_QUIT_SECONDS)
        self.drop()

    def drop(self) -> None:
        """Close the connection without a word."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self.is_open = False

    def wire(self) -> Wire:
        """Return the connection, for a loop that drives it; raises ConnectionLost when closed."""
        if self._wire is None:
            raise ConnectionLost("the connection is closed")
        return self._wire

    def _read_lines(self, *, seconds: float | None = None) -> tuple[int, list[str]]:
        code, lines = self.wire().read(seconds=seconds or self.relay.command_timeout_seconds)
        if code == 421:
            self.drop()
        return code, lines

    def _command(self, line: str) -> Reply:
        self.write(line.encode() + b"\r\n")
        return self.read()

    def _refused(self, reply: Reply) -> TransportError:
        return refusal(reply, phase=self._phase, next_hop=str(self.relay))

    def _wrong(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"{self.relay}: {text}", phase=self._phase)

    def _connect(self) -> None:
        relay = self.relay
        try:
            connected = socket.create_connection(
                (relay.host, relay.port), timeout=relay.connect_timeout_seconds
            )
        except TimeoutError as error:
            seconds = f"{relay.connect_timeout_seconds:g}"
            raise ConnectionLost(f"no connection within {seconds} s", has_stalled=True) from error
        except (UnicodeError, OverflowError) as error:
            raise self._wrong("this is not a valid host name and port.") from error
        except OSError as error:
            raise ConnectionLost(f"no connection ({error.strerror or error})") from error
        self._wire = Wire(connected)
        self.is_open = True
        self.notes.append(f"Connected to {relay}.")
        if relay.tls == "tls":
            self._encrypt()

    def _greet(self) -> None:
        self._phase = Phase.GREETING
        try:
            reply = self.read()
        except ConnectionLost as error:
            if error.has_stalled and self.relay.tls != "tls":
                hint = f"{error}; if it expects TLS from the start on this port, choose that"
                raise ConnectionLost(hint, has_stalled=True) from error
            raise
        if reply.code != 220:
            raise self._refused(reply)
        self.notes.append(f"The server greets: {reply.text}")
        self._introduce()

    def _introduce(self) -> None:
        """Say EHLO, or HELO to a server that does not know it."""
        self.extensions = {}
        self.write(f"EHLO {self.relay.local_hostname}\r\n".encode())
        code, lines = self._read_lines()
        if code == 250:
            self.extensions = _read_extensions(lines[1:])
            return
        if code < 500:
            raise self._refused(read_reply(code, lines))
        reply = self._command(f"HELO {self.relay.local_hostname}")
        if reply.code != 250:
            raise self._refused(reply)

    def _start_tls(self) -> None:
        self._phase = Phase.TLS
        if "STARTTLS" not in self.extensions:
            raise self._wrong(
                "the server does not offer STARTTLS, and nothing is sent in clear. Check the port, "
                "or choose TLS from the start or none for this route."
            )
        reply = self._command("STARTTLS")
        if reply.code != 220:
            raise self._refused(reply)
        self._encrypt()
        self._introduce()  # what was offered in clear may have been forged

    def _encrypt(self) -> None:
        self._phase = Phase.TLS
        if self._context is None:
            raise self._wrong("TLS was asked for without a context.")
        try:
            version = self.wire().start_tls(
                self._context, host=self.relay.host, seconds=self.relay.command_timeout_seconds
            )
        except ssl.SSLCertVerificationError as error:
            self.drop()
            raise self._wrong(
                f"the certificate cannot be trusted: {error.verify_message}. Use the name that the "
                "certificate is made out to, or name the CA file that vouches for it."
            ) from error
        except ssl.SSLError as error:
            self.drop()
            if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
                raise self._wrong("the server does not speak TLS on this port.") from error
            raise ConnectionLost(f"TLS failed ({error.reason or error})") from error
        trust = "verified" if self.relay.verify_certificate else "NOT verified"
        self.notes.append(f"Encrypted with {version}; the certificate was {trust}.")

    def _authenticate(self) -> None:
        """Log in. In clear only where the operator chose to have no TLS at all."""
        self._phase = Phase.AUTH
        offered = self.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            reply = self._log_in_plainly()
        elif "LOGIN" in offered:
            reply = self._log_in()
        else:
            raise self._wrong(
                f"the server offers {' '.join(offered) or 'no'} authentication; PLAIN or LOGIN is "
                "needed. Check the port, or remove the user name."
            )
        if reply.code != 235:
            raise self._refused(reply)
        self.notes.append(f"Logged in as {self.relay.username}.")

    def _log_in_plainly(self) -> Reply:
        secret = _base64(f"\0{self.relay.username}\0{self.relay.password}")
        command = f"AUTH PLAIN {secret}"
        reply = self._command(command if len(command) <= _MAX_AUTH_COMMAND else "AUTH PLAIN")
        return self._command(secret) if reply.code == 334 else reply

    def _log_in(self) -> Reply:
        reply = self._command("AUTH LOGIN")
        for answer in (self.relay.username, self.relay.password):
            if reply.code == 334:
                reply = self._command(_base64(answer))
        return reply


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _read_extensions(lines: list[str]) -> dict[str, str]:
    """Read the lines of an EHLO reply; ``AUTH=`` is how old servers write it."""
    extensions: dict[str, str] = {}
    for line in lines:
        name, _, parameters = line.strip().replace("AUTH=", "AUTH ", 1).partition(" ")
        if name:
            known = extensions.get(name.upper(), "")
            extensions[name.upper()] = f"{known} {parameters}".strip()
    return extensions
