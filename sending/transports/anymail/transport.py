"""Hand messages to any Django e-mail backend: a provider's API by django-anymail, or another.

What a provider answers is translated into enhanced status codes (RFC 3463), the only language that
reply classification and the log speak. ``Reply.code`` stays 0: an HTTP 4xx is not an SMTP 4xx.

Written against django-anymail 15.2, which exports its errors from ``anymail.exceptions``.
"""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Callable
from email.errors import MessageError
from email.utils import format_datetime, quote
from typing import Any, NoReturn

import requests
from anymail.backends.base import AnymailBaseBackend
from anymail.exceptions import (
    AnymailError,
    AnymailRecipientsRefused,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailStatus
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from sending.errors import (
    ConfigurationError,
    LeaseLost,
    PermanentError,
    Phase,
    Reply,
    TransientError,
    TransportError,
)
from sending.outgoing import Mailbox, Outgoing
from sending.transports.anymail.errors import provider_error, smtplib_error
from sending.transports.base import Finding, Receipt

# What our words for a provider's verdict on the recipient are as an enhanced status.
_REFUSALS = {
    "invalid": "5.1.3",
    "rejected": "5.7.1",  # on the provider's own suppression list: says nothing new to us
}
# What a message may go without where an API has no field for it: its bounces then come by the
# provider's webhook, which knows the transport_id. Anything else missing would harm the message.
_DISPENSABLE = ("envelope_sender", "metadata")
_CHECK_SECONDS = 10


class AnymailTransport:
    """Send through a Django e-mail backend, named by its dotted path.

    ``options`` are its keyword arguments, such as ``api_key`` and ``timeout``. The provider writes
    the message and signs it: our own DKIM key and exact bytes have no place here. An API's HTTP
    connection is kept between messages. Another backend connects for each message, because Django
    could not tell a connection that the server has closed meanwhile from a lost acceptance.
    """

    def __init__(self, *, backend: str, options: dict[str, Any] | None = None) -> None:
        self._path = backend
        self._options = options or {}
        self._backend: BaseEmailBackend | None = None
        self._unsupported: set[str] = set()

    def send(self, outgoing: Outgoing, *, before_body: Callable[[], bool]) -> Receipt:
        """Hand over one message; see ``Transport.send``."""
        backend = self._open_backend()
        is_provider = isinstance(backend, AnymailBaseBackend)
        message = _provider_message(outgoing) if is_provider else _plain_message(outgoing)
        try:
            is_ours = before_body()
            count = self._send(backend, message) if is_ours else None
        finally:
            if not is_provider:
                self.close()
        if not is_ours:
            raise LeaseLost("Another worker owns this message now; it was not sent.")
        if count == 0:
            raise PermanentError(
                f"{self._path} sent nothing: a receiver of anymail's pre_send canceled it.",
                phase=Phase.DATA,
                reply=Reply(enhanced="5.7.1", text="canceled before sending"),
            )
        if is_provider:
            return self._receipt(message, backend=backend)
        return Receipt(reply=Reply(enhanced="2.0.0", text="accepted"))

    def check(self) -> list[Finding]:
        """Make the backend, and reach its server or API address without sending."""
        try:
            backend = self._open_backend()
            self.close()
        except TransportError as error:
            return [Finding(ok=False, text=str(error))]
        findings = [Finding(ok=True, text=f"{self._path} can be used with these options.")]
        address = getattr(backend, "api_url", None)
        if isinstance(address, str):
            findings.append(_reach(address))
        return findings

    def close(self) -> None:
        """End the connection; what goes wrong in doing so is of no interest."""
        if self._backend is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException, AnymailError):
                self._backend.close()
            self._backend = None

    def _open_backend(self) -> BaseEmailBackend:
        if self._backend is None:
            backend = self._make_backend()
            try:
                backend.open()
            except (OSError, smtplib.SMTPException) as error:
                with contextlib.suppress(OSError, smtplib.SMTPException):
                    backend.close()
                raise smtplib_error(error, is_connected=False) from error
            self._backend = backend
        return self._backend

    def _make_backend(self) -> BaseEmailBackend:
        try:
            backend = get_connection(self._path, fail_silently=False, **self._options)
        except (ImportError, ImproperlyConfigured, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The backend {self._path} cannot be used: {error} "
                "Correct the route's backend or its options.",
                phase=Phase.CONNECT,
            ) from error
        if not isinstance(backend, BaseEmailBackend):
            raise ConfigurationError(
                f"{self._path} is not a Django e-mail backend. Correct the route's backend.",
                phase=Phase.CONNECT,
            )
        return backend

    def _send(self, backend: BaseEmailBackend, message: EmailMultiAlternatives) -> int | None:
        """Answer how many were sent; backends of others may not tell."""
        for feature in self._unsupported:
            vars(message).pop(feature, None)
        try:
            return backend.send_messages([message])
        except AnymailUnsupportedFeature as error:  # raised before anything was sent
            missing = {each for each in _DISPENSABLE if str(error.args[0]).endswith(each)}
            if not missing - self._unsupported:
                raise provider_error(error) from error
            self._unsupported |= missing
            return self._send(backend, message)
        except AnymailRecipientsRefused:
            self._refuse(message)
        except AnymailError as error:
            raise provider_error(error) from error
        except (BadHeaderError, UnicodeError, MessageError) as error:
            raise PermanentError(
                f"No message can be made of this: {error}",
                phase=Phase.DATA,
                reply=Reply(enhanced="5.6.0", text=str(error)),
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            raise smtplib_error(error, is_connected=True) from error

    def _receipt(self, message: EmailMultiAlternatives, *, backend: BaseEmailBackend) -> Receipt:
        status, transport_id = _recipient_status(message)
        name = getattr(backend, "esp_name", self._path)
        if status in _REFUSALS:  # reached when the option ignore_recipient_status is set
            self._refuse(message)
        if status == "failed":
            text = f"{name} could not send it"
            raise TransientError(f"{text}.", phase=Phase.DOT, reply=Reply(text=text))
        return Receipt(
            reply=Reply(enhanced="2.0.0", text=f"{name}: {status}"),
            transport_id=transport_id,
        )

    def _refuse(self, message: EmailMultiAlternatives) -> NoReturn:
        status, _ = _recipient_status(message)
        raise PermanentError(
            f"{self._path} refused the recipient as {status}.",
            phase=Phase.RCPT,
            reply=Reply(
                enhanced=_REFUSALS.get(status, "5.7.1"),
                text=f"the provider refused the recipient as {status}",
            ),
        )


def _recipient_status(message: EmailMultiAlternatives) -> tuple[str, str]:
    """Answer the provider's word for our one recipient, and its id of the message."""
    status: AnymailStatus = message.anymail_status  # type: ignore[attr-defined]
    for recipient in status.recipients.values():
        return recipient.status or "unknown", str(recipient.message_id or "")
    return "unknown", ""


def _provider_message(outgoing: Outgoing) -> EmailMultiAlternatives:
    """Describe the message to an API; metadata comes back with the provider's events."""
    message = _message(outgoing, from_email=_address(outgoing.sender))
    message.extra_headers["Message-ID"] = outgoing.message_id
    message.envelope_sender = outgoing.envelope_sender  # type: ignore[attr-defined]
    message.metadata = {"message_id": str(outgoing.id), **outgoing.metadata}  # type: ignore[attr-defined]
    return message


def _plain_message(outgoing: Outgoing) -> EmailMultiAlternatives:
    """Write for a backend of Django's kind: ``from_email`` is its envelope sender."""
    if outgoing.needs_smtputf8:  # Django would encode the local part as if it were a name
        raise PermanentError(
            "The message has an address outside ASCII, which this backend cannot send.",
            phase=Phase.MAIL,
            reply=Reply(enhanced="5.6.7", text="SMTPUTF8 needed, not available"),
        )
    message = _message(outgoing, from_email=outgoing.envelope_sender)
    message.extra_headers.update(
        {
            "From": _address(outgoing.sender),
            "Date": format_datetime(outgoing.date),
            "Message-ID": outgoing.message_id,
        }
    )
    return message


def _message(outgoing: Outgoing, *, from_email: str) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(
        subject=outgoing.subject,
        body=outgoing.text,
        from_email=from_email,
        to=[outgoing.recipient],
        reply_to=[_address(outgoing.reply_to)] if outgoing.reply_to else None,
        headers=dict(outgoing.headers),
    )
    if outgoing.html:
        message.attach_alternative(str(outgoing.html), "text/html")
    return message


def _address(mailbox: Mailbox) -> str:
    """Write a mailbox for backends, which encode a name themselves and differently."""
    return f'"{quote(mailbox.name)}" <{mailbox.address}>' if mailbox.name else mailbox.address


def _reach(address: str) -> Finding:
    """Ask an API address for anything: whatever it answers, it can be reached."""
    try:
        status = requests.head(address, timeout=_CHECK_SECONDS).status_code
    except requests.RequestException as error:
        return Finding(ok=False, text=f"{address} cannot be reached: {error}")
    return Finding(
        ok=True,
        text=f"{address} answers (HTTP {status}). The key is first tried with the first message.",
    )
