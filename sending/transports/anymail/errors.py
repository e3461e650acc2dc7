"""Name what went wrong inside a Django e-mail backend: a provider's API, or smtplib.

Both tell less than our own driver. Where they leave open whether the message arrived, the error is
ambiguous.
"""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from anymail.exceptions import AnymailAPIError, AnymailError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from sending.errors import (
    ConfigurationError,
    PermanentError,
    Phase,
    Reply,
    TransientError,
    TransportError,
)
from sending.transports.base import read_reply, refusal

_MAX_TEXT = 500
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)
# Not accepted, and not the message's fault: unpaid or unknown account, wrong key.
_ACCOUNT_STATUSES = frozenset({401, 402, 403, 407})
# The provider says itself that it did not take the request.
_BUSY_STATUSES = frozenset({408, 409, 425, 429, 503})


def provider_error(error: AnymailError) -> TransportError:
    """Name an error of an anymail backend."""
    if not isinstance(error, AnymailAPIError):  # the message cannot be said in this API
        return PermanentError(
            str(error), phase=Phase.DATA, reply=Reply(enhanced="5.6.0", text=_text(error))
        )
    status = _http_status(error)
    if status is None:
        return _unanswered(error)
    if status in _ACCOUNT_STATUSES:
        return ConfigurationError(
            str(error), phase=Phase.AUTH, reply=Reply(enhanced="5.7.8", text=_text(error))
        )
    if status in _BUSY_STATUSES:
        return TransientError(
            str(error),
            phase=Phase.DATA,
            reply=Reply(enhanced="4.7.0" if status == 429 else "4.3.2", text=_text(error)),
            retry_after_seconds=_retry_after_seconds(error),
        )
    if 400 <= status < 500:
        return PermanentError(
            str(error), phase=Phase.DATA, reply=Reply(enhanced="5.6.0", text=_text(error))
        )
    # A 5xx may come from a proxy after the provider took it; a 2xx that cannot be read as well.
    return _ambiguous(error)


def smtplib_error(error: Exception, *, is_connected: bool) -> TransportError:
    """Name an error of smtplib, or of the socket under it."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        # One dict entry for our one recipient; the exception has no code of its own.
        code, text = next(iter(error.recipients.values()))
        return _smtp_refusal(code, text, phase=Phase.RCPT)
    if isinstance(error, smtplib.SMTPResponseException):
        return _smtp_refusal(error.smtp_code, error.smtp_error, phase=_phase(error))
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return _not_supported(error, is_connected=is_connected)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"The server's certificate cannot be trusted: {error.verify_message}.",
            phase=Phase.TLS,
        )
    if is_connected:
        return _ambiguous(error)
    return TransientError(f"No connection to the server: {error}", phase=Phase.CONNECT)


def _unanswered(error: AnymailError) -> TransportError:
    """Name a call without an HTTP answer: only one that never connected left nothing behind."""
    if isinstance(error, _BAD_ADDRESS):
        return ConfigurationError(str(error), phase=Phase.CONNECT)
    if "CERTIFICATE_VERIFY_FAILED" in str(error.__cause__):
        return ConfigurationError(str(error), phase=Phase.TLS)
    if _never_connected(error.__cause__):
        return TransientError(str(error), phase=Phase.CONNECT, reply=Reply(text=_text(error)))
    return _ambiguous(error)


def _never_connected(error: BaseException | None) -> bool:
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    reason = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


def _ambiguous(error: Exception) -> TransientError:
    return TransientError(
        f"No clear answer, the message may have arrived: {error}",
        phase=Phase.DOT,
        reply=Reply(text=_text(error)),
        is_ambiguous=True,
    )


def _not_supported(error: Exception, *, is_connected: bool) -> TransportError:
    if is_connected:  # smtplib asks for one extension only: SMTPUTF8
        return PermanentError(
            str(error), phase=Phase.MAIL, reply=Reply(enhanced="5.6.7", text=_text(error))
        )
    return ConfigurationError(str(error), phase=Phase.TLS)


def _smtp_refusal(code: int, text: bytes | str, *, phase: Phase) -> TransportError:
    if code < 400:  # smtplib's -1: it read something that is no reply
        return TransientError(f"The server answered {text!r}.", phase=phase)
    decoded = text.decode(errors="replace") if isinstance(text, bytes) else text
    reply = read_reply(code, decoded.splitlines())
    return refusal(reply, phase=phase, next_hop="The server")


def _phase(error: smtplib.SMTPResponseException) -> Phase:
    phases = {
        smtplib.SMTPConnectError: Phase.GREETING,
        smtplib.SMTPHeloError: Phase.GREETING,
        smtplib.SMTPAuthenticationError: Phase.AUTH,
        smtplib.SMTPSenderRefused: Phase.MAIL,
    }
    return phases.get(type(error), Phase.DOT)


def _http_status(error: AnymailAPIError) -> int | None:
    """Answer the HTTP status; Amazon's client keeps it in a dict."""
    if error.status_code is not None:
        return int(error.status_code)
    if isinstance(error.response, dict):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None


def _retry_after_seconds(error: AnymailAPIError) -> int | None:
    """Read Retry-After (RFC 9110 section 10.2.3): seconds, or a date."""
    value = getattr(error.response, "headers", {}).get("Retry-After", "").strip()
    if value.isdecimal():
        return int(value)
    try:
        return max(0, round((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    except (ValueError, TypeError):  # absent, malformed, or a date without a zone
        return None


def _text(error: Exception) -> str:
    """Put the error on one line, short enough for a list."""
    return " ".join(str(error).split())[:_MAX_TEXT]
