"""Write reports about messages of a test."""

from __future__ import annotations

from sending.models import Message

DSN = """\
Return-Path: <>
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-Id: <{number}@mx.example.org>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

<{recipient}>: {words}

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
{envelope_id}
Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}

--b
Content-Type: text/rfc822-headers

From: shop@sender.example
To: {recipient}
{message_id}Subject: Hello

--b--
"""
ARF = """\
From: feedback@isp.example
To: fbl@bounce.example.com
Subject: FW: Hello
Message-ID: <{number}@isp.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Test/1.0
Version: 1
{path}
--b
Content-Type: text/rfc822-headers

To: {recipient}
Message-ID: {message_id}

--b--
"""
VACATION = """\
From: {recipient}
To: shop@sender.example
Subject: Out of office
Message-ID: <{number}@recipient.example>
In-Reply-To: {message_id}
Auto-Submitted: auto-replied

I am away. 550 5.1.1 is not what this is.
"""


def dsn(
    message: Message,
    *,
    status: str = "5.1.1",
    words: str = "550 5.1.1 No such user",
    action: str = "failed",
    recipient: str = "",
    has_message_id: bool = True,
    has_envelope_id: bool = False,
    number: int = 1,
) -> bytes:
    """Return a bounce; by default one that names the message by its Message-ID alone."""
    return DSN.format(
        to="shop@sender.example",
        recipient=recipient or message.recipient,
        status=status,
        words=words,
        action=action,
        number=number,
        message_id=f"Message-ID: {message.message_id}\n" if has_message_id else "",
        envelope_id=f"Original-Envelope-Id: {envelope_id_of(message)}\n" if has_envelope_id else "",
    ).encode()


def envelope_id_of(message: Message) -> str:
    """Return what we gave as ENVID: the Message-ID without its domain."""
    return message.message_id.strip("<>").partition("@")[0]


def arf(message: Message, *, path: str = "", recipient: str = "", number: int = 1) -> bytes:
    """Return a complaint; `path`: the return-path that the provider saw."""
    return ARF.format(
        recipient=recipient or message.recipient,
        message_id=message.message_id,
        number=number,
        path=f"Original-Mail-From: <{path}>\n" if path else "",
    ).encode()


def vacation(message: Message, *, number: int = 1) -> bytes:
    """Return what a responder answers."""
    return VACATION.format(
        recipient=message.recipient, message_id=message.message_id, number=number
    ).encode()
