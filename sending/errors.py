"""Say what can go wrong with a message, as one tree.

SendingError                    code 1005, HTTP 422: the caller's request cannot be accepted
├── InvalidRecipient            1003: missing or malformed address
│   └── SuppressedRecipient     1003: there is a standing order not to send to it
├── TemplateUnavailable         1004, HTTP 404
├── SenderNotAllowed            1005, HTTP 403
├── InvalidAttribs              1005: not an object of scalars, too many, too long
├── InvalidSwitch               1005: neither true nor false
├── InvalidMark                 1005: tags or a variant of the wrong shape, number or size
├── IdempotencyKeyInvalid       1005, HTTP 400: not 1 to 255 printable characters
├── IdempotencyKeyReused        1005: another request was accepted under the same key
├── RequestInProgress           1005, HTTP 409: the same key is being worked on at this moment
├── InvalidSuppression          1005: what is to be suppressed, lifted or checked cannot be read
├── NotSuppressed               1005, HTTP 404: there is nothing to lift
├── TooManyRules                1005: so many broad suppressions would slow down every request
├── NotConfigured               1005, HTTP 503: no route, no public URL: the operator has to act
└── RenderingError              1005: a template that cannot become a mail
    ├── TemplateSyntaxError     has ``line`` and ``column``, both from 1
    ├── MissingVariable         strict mode only
    └── OutputTooLarge
TransportError                  one try on the wire did not end in an acceptance
├── TransientError              try again later
├── PermanentError              the next hop refused this message
└── ConfigurationError          the route itself is wrong: pause it, keep the mail
LeaseLost                       another worker owns the message now: do not send it

``code`` is the number of the error in the public contract, ``http_status`` the status sent with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SendingError(Exception):
    """A request or a message that cannot go on; its text is meant for the caller."""

    code = 1005
    http_status = 422


class InvalidRecipient(SendingError):
    """The recipient is missing or is not an address that mail can be sent to."""

    code = 1003


class SuppressedRecipient(InvalidRecipient):
    """A standing order forbids this recipient; the text names the rule."""


class TemplateUnavailable(SendingError):
    """The key has no template, or it was disabled."""

    code = 1004
    http_status = 404


class SenderNotAllowed(SendingError):
    """The sender address belongs to no domain or address that this key may use."""

    http_status = 403


class InvalidAttribs(SendingError):
    """The template variables of a request are of the wrong shape or size."""


class InvalidSwitch(SendingError):
    """A field of the request that switches something is neither true nor false."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Sending failed: {name} must be true or false, or be left out.")


class InvalidMark(SendingError):
    """What a request marks its mail with cannot be: its tags, or its variant."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"Sending failed: {problem}")


class IdempotencyKeyInvalid(SendingError):
    """The Idempotency-Key is not one."""

    http_status = 400

    def __init__(self) -> None:
        super().__init__(
            "Sending failed: the Idempotency-Key must be 1 to 255 printable ASCII characters, "
            "such as a UUID."
        )


class IdempotencyKeyReused(SendingError):
    """The Idempotency-Key belongs to another request."""

    def __init__(self) -> None:
        super().__init__(
            "Sending failed: this Idempotency-Key was used for another request; nothing was "
            "accepted. Give each request a key of its own, and repeat one only unchanged."
        )


class RequestInProgress(SendingError):
    """A request with the same Idempotency-Key has no answer yet."""

    http_status = 409
    retry_after_seconds = 1

    def __init__(self) -> None:
        super().__init__(
            "Sending failed: a request with this Idempotency-Key is in progress. "
            "Repeat it after a second to get its answer."
        )


class InvalidSuppression(SendingError):
    """What is to be suppressed, lifted or checked cannot be read; the text says why."""


class NotSuppressed(SendingError):
    """There is no suppression of this address."""

    http_status = 404

    def __init__(self, address: str) -> None:
        super().__init__(f"{address[:320]} is not suppressed; there is nothing to lift.")


class TooManyRules(SendingError):
    """There are as many rules for sub-domains and patterns as can be compared with each address."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"There may be {most} suppressions of sub-domains and patterns, and they are used up. "
            "Name whole domains instead, such as @example.com: of these there may be millions."
        )


class NotConfigured(SendingError):
    """The operator has to complete the configuration before mail can be accepted."""

    http_status = 503
    retry_after_seconds = 60


class RenderingError(SendingError):
    """A template cannot be turned into a mail."""


class TemplateSyntaxError(RenderingError):
    """A template is not in the language; ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, *, line: int, column: int) -> None:
        super().__init__(f"Line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


class MissingVariable(RenderingError):
    """Strict mode: the template uses a variable that the request does not give."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The template needs {name}, which the request does not give.")
        self.name = name


class OutputTooLarge(RenderingError):
    """The rendered text passed the cap."""


class Phase(StrEnum):
    """How far one try got on the wire. From BODY on, the next hop may own the message."""

    CONNECT = "connect"
    GREETING = "greeting"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the next hop said: ``code`` 0 and empty ``enhanced`` when it said nothing."""

    code: int = 0
    enhanced: str = ""
    text: str = ""

    def __str__(self) -> str:
        code = str(self.code) if self.code else ""
        return " ".join(filter(None, (code, self.enhanced, self.text))).strip()


class TransportError(Exception):
    """One try ended without an acceptance.

    ``is_ambiguous``: the whole message may have arrived although no acceptance was read
    (RFC 5321 section 4.5.3.2.6, RFC 1047), so a retry may make a second copy.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Phase,
        reply: Reply | None = None,
        is_ambiguous: bool = False,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.phase = phase
        self.reply = reply or Reply(text=message)
        self.is_ambiguous = is_ambiguous
        self.retry_after_seconds = retry_after_seconds


class TransientError(TransportError):
    """A later try may succeed."""


class PermanentError(TransportError):
    """The next hop refused this message for good."""


class ConfigurationError(TransportError):
    """The route is wrong (credentials, certificate, relay rights): no message can pass it."""


class LeaseLost(Exception):
    """The claim on a message ended before its body was sent."""
