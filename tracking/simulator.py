"""Play what happens to a mail after it left: the other servers, and the recipient.

Each scene comes back as it would in earnest: a report is a real DSN or ARF mail through the same
intake, an open or a click is an HTTP request for what stands in the mail, an unsubscribe is the
one-click POST. A scene lives in this process only; it is lost when that ends.
"""

from __future__ import annotations

import email
import heapq
import html
import itertools
import logging
import re
import threading
import time
from collections.abc import Callable
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, make_msgid
from functools import partial
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import connections
from django.utils import timezone

from tracking import correlation, mail

log = logging.getLogger(__name__)

HTTP_SECONDS = 10
# A person at a desk, who is not too fast for one.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,image/*;q=0.8,*/*;q=0.5",
    "Accept-Language": "en",
}
DELIVERED_AFTER, BOUNCED_AFTER, OPENED_AFTER, ACTED_AFTER = 1.0, 2.0, 12.0, 20.0  # seconds
_SOURCE = re.compile(r"""<img\b[^>]*?\bsrc\s*=\s*["']([^"']+)""", re.IGNORECASE)
_TARGET = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*["']([^"']+)""", re.IGNORECASE)
_URL = re.compile(r"<(https?://[^<>\s]+)>")


def play(content: bytes, *, scene: str, envelope_sender: str, recipient: str) -> None:
    """Have the scene happen, step by step, in a thread of its own; return at once.

    Scenes are bounce, complaint, open, click and unsubscribe; all but the first are delivered.
    """
    report = partial(_report, content, envelope_sender=envelope_sender, recipient=recipient)
    if scene == "bounce":
        status, words = "5.1.1", "550 5.1.1 Simulated: no such user"
        _stage.after(BOUNCED_AFTER, partial(report, action="failed", status=status, words=words))
        return
    words = "250 2.0.0 Simulated: delivered to the mailbox"
    _stage.after(DELIVERED_AFTER, partial(report, action="delivered", status="2.0.0", words=words))
    for seconds, act in _acts(content, scene, envelope_sender=envelope_sender, recipient=recipient):
        _stage.after(seconds, act)


def _acts(
    content: bytes, scene: str, *, envelope_sender: str, recipient: str
) -> list[tuple[float, Callable[[], None]]]:
    """Return what the recipient does, and how long after the mail was taken."""
    message = email.message_from_bytes(content)
    opening = (OPENED_AFTER, partial(_open, message))
    if scene == "open":
        return [opening]
    if scene == "click":
        return [opening, (ACTED_AFTER, partial(_click, message))]
    if scene == "unsubscribe":
        return [opening, (ACTED_AFTER, partial(_unsubscribe, message))]
    if scene == "complaint":
        complain = partial(_complain, content, envelope_sender=envelope_sender, recipient=recipient)
        return [(BOUNCED_AFTER, complain)]
    return []


def _report(
    content: bytes, *, envelope_sender: str, recipient: str, action: str, status: str, words: str
) -> None:
    """Send a DSN (RFC 3464) back to the return-path."""
    fields = (
        f"Reporting-MTA: dns; {settings.SIMULATOR_DOMAIN}\n\n"
        f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {words}\n"
    )
    _take(
        _multipart("delivery-status", fields, content, subject="Mail delivery report"),
        envelope_sender,
    )


def _complain(content: bytes, *, envelope_sender: str, recipient: str) -> None:
    """Send a feedback report (RFC 5965), as a provider's complaint loop does."""
    fields = (
        "Feedback-Type: abuse\nUser-Agent: Simulator/1.0\nVersion: 1\n"
        f"Original-Mail-From: <{envelope_sender}>\nOriginal-Rcpt-To: <{recipient}>\n"
    )
    _take(_multipart("feedback-report", fields, content, subject="Complaint"), envelope_sender)


def _multipart(kind: str, fields: str, content: bytes, *, subject: str) -> bytes:
    """Write a report of RFC 6522 with the header fields of the mail that it is about."""
    whole = MIMEMultipart("report", report_type=kind)
    whole["From"] = f"MAILER-DAEMON@{settings.SIMULATOR_DOMAIN}"
    whole["Subject"] = f"Simulated: {subject}"
    whole["Date"] = format_datetime(timezone.now())
    whole["Message-ID"] = make_msgid(domain=settings.SIMULATOR_DOMAIN)
    whole.attach(MIMEText(f"{subject}, made by the simulator.\n"))
    part = MIMEBase("message", kind)
    part.set_payload([_fields(block) for block in fields.split("\n\n")])
    whole.attach(part)
    head = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n"
    returned = MIMEBase("text", "rfc822-headers")
    returned.set_payload(head.decode("utf-8", "replace"))
    whole.attach(returned)
    return whole.as_bytes()


def _fields(block: str) -> Message:
    return email.message_from_string(block + "\n\n")


def _take(content: bytes, envelope_sender: str) -> None:
    correlation.take_report(content, recipients=[envelope_sender], now=timezone.now())


def _open(message: Message) -> None:
    """Load the pictures of the mail that are ours."""
    for url in _SOURCE.findall(_html_of(message)):
        if _is_tracked(url):
            _get(url)


def _click(message: Message) -> None:
    """Follow the first link of the mail that is ours."""
    links = filter(_is_tracked, _TARGET.findall(_html_of(message)))
    if (url := next(links, None)) is not None:
        _get(url)


def _unsubscribe(message: Message) -> None:
    """Press the button of the mail program (RFC 8058)."""
    for url in _URL.findall(mail.header(message, "List-Unsubscribe")):
        _request("POST", url, form={"List-Unsubscribe": "One-Click"})


def _html_of(message: Message) -> str:
    return "".join(
        mail.text_of(part) for part in mail.parts(message) if mail.content_type(part) == "text/html"
    )


def _is_tracked(url: str) -> bool:
    return urlsplit(html.unescape(url)).path.startswith(settings.TRACKED_PATHS)


def _get(url: str) -> None:
    _request("GET", html.unescape(url))


def _request(method: str, url: str, *, form: dict[str, str] | None = None) -> None:
    """Ask our own server, whatever the host in the address: nothing leaves for another."""
    parts = urlsplit(url)
    own = settings.PUBLIC_URL + parts.path + (f"?{parts.query}" if parts.query else "")
    requests.request(
        method, own, data=form, headers=BROWSER, timeout=HTTP_SECONDS, allow_redirects=False
    ).raise_for_status()


class _Stage:
    """One thread that does things when their time has come, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), act))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception:  # the other scenes go on
                log.exception("A simulated outcome failed")
            finally:
                connections.close_all()

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next act; None when there is none any more."""
        with self._changed:
            while self._due:
                wait = self._due[0][0] - time.monotonic()
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
            self._thread = None
            return None


_stage = _Stage()
