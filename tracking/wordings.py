"""Read a bounce that is no DSN but plain words, as qmail and many others write them.

Which addresses failed is found by flufl.bounce, which knows the wordings of decades, and by what
some servers put into header fields; what the server said stands near the address.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from email.message import Message

from flufl.bounce import all_failures

from tracking import mail
from tracking.dsn import Delivery, reply_in

# It logs each of its attempts, and the tracebacks of those that a broken mail ends.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

_DAEMON = re.compile(
    r"\b(mailer[-_ ]?daemon|postmaster|mail delivery (sub)?system|mail ?administrator|mdaemon"
    r"|microsoft exchange|mail[-_ ]?delivery)\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|delivery (status|fail|problem|has failed|report)|returned mail|failure notice"
    r"|mail (delivery|system)|(message|mail) (could not|not|status)|nondeliverable|rejected"
    r"|unzustellbar|nicht zustellbar|non remis|[ée]chec|n[ãa]o (foi )?entregue|no se (pudo|puede)"
    r"|devuelto|mancata consegna|impossibile|onbestelbaar|nie dostarczono|недоставлен|не доставлен"
    r"|退信|无法|配信不能|宛先",
    re.IGNORECASE,
)
_STILL_TRYING = re.compile(
    r"warning|delay|still (being )?(tr|retr|attempt)|not yet been|will (be )?(keep|retr|continue)"
    r"|do not need to (resend|do anything)|no action is required",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"giving up|gave up|permanent|fatal|could not be delivered|undeliverable", re.IGNORECASE
)
_CUT = re.compile(
    r"^(-{3,} ?(below this line|this is a copy|original message|message header|forwarded|"
    r"\w* ?(copy of|headers? of)).*|-{4,} ?unsent message.*|received:.*|return-path:.*"
    r"|.*\boriginal message (follows|headers).*|.*copy of (your|the) (original )?message.*:?)$",
    re.IGNORECASE | re.MULTILINE,
)
_TELLING = re.compile(
    r"(?<!\d)[45]\d\d[ -]|[45]\.\d{1,3}\.\d{1,3}|unknown|not? (such|found|exist|mailbox)|full|quota"
    r"|disabled|inactive|reject|denied|refused|blocked|spam|invalid|unavailable|timed? ?out",
    re.IGNORECASE,
)
_NEAR_LINES = 8
MAX_TEXT = 50_000
MAX_NAMED = 100
MAX_LINES = 2000  # flufl.bounce compares each line with each of its patterns


def parse(message: Message) -> tuple[Delivery, ...]:
    """Return what a bounce in words says of each recipient; nothing if it is not like one."""
    is_marked = bool(mail.header(message, "X-Failed-Recipients"))
    sender = f"{mail.header(message, 'From')} {mail.header(message, 'Sender')}"
    subject = mail.header(message, "Subject")
    if not (is_marked or _DAEMON.search(sender) or _is_null(message)):
        return ()
    if not is_marked and not _SUBJECT.search(subject) and not _DAEMON.search(sender):
        return ()
    text = _report_text(message)
    temporary, permanent = _failed(message, text)
    is_delay = bool(_STILL_TRYING.search(subject) or _STILL_TRYING.search(text[:2000]))
    is_delay = is_delay and not _GIVEN_UP.search(f"{subject} {text[:2000]}")
    return tuple(
        Delivery(
            recipient=address,
            action="delayed" if address in temporary or is_delay else "failed",
            reply=reply_in(_near(address, text)),
        )
        for address in [*permanent, *temporary]
    )


def completed(delivery: Delivery, message: Message) -> Delivery:
    """Take from the words of a DSN what its fields leave out, as OpenSMTPD's do."""
    if delivery.reply.text or not delivery.recipient:
        return delivery
    text = _report_text(message)
    if delivery.recipient.lower() not in text.lower():
        return delivery
    reply = reply_in(_near(delivery.recipient, text), status=delivery.reply.enhanced)
    return replace(delivery, reply=reply)


def _is_null(message: Message) -> bool:
    return mail.header(message, "Return-Path") in ("<>", "< >")


def _failed(message: Message, text: str) -> tuple[list[str], list[str]]:
    """Return the addresses that failed for now, and those that failed for good."""
    named = mail.addresses(mail.header(message, "X-Failed-Recipients"))
    if named:
        return [], named[:MAX_NAMED]
    try:
        is_long = sum(map(_lines, mail.parts(message))) > MAX_LINES
        temporary, permanent = (frozenset(), frozenset()) if is_long else all_failures(message)
    except Exception:  # a detector met a mail that it was not written for; the words remain
        temporary, permanent = frozenset(), frozenset()
    found = _clean(temporary), _clean(permanent)
    return found if any(found) else ([], _in_words(text))


def _lines(part: Message) -> int:
    return mail.text_of(part).count("\n")


def _clean(failed: frozenset[bytes]) -> list[str]:
    texts = sorted(mail.decode(bytes(one), "utf-8") for one in failed)
    return [address for one in texts for address in mail.addresses(one)[:1]]


def _in_words(text: str) -> list[str]:
    """Return the address that stands nearest before the first telling line."""
    found: list[str] = []
    for line in text.split("\n"):
        here = [one for one in mail.addresses(line) if not _DAEMON.search(one)]
        found = here[:1] or found
        if found and _TELLING.search(line):
            return found
    return found


def _report_text(message: Message) -> str:
    """Return what a person reads of the report, without the mail that it returns."""
    for kind in ("text/plain", "text/html"):
        for part in mail.parts(message):
            if mail.content_type(part) == kind:
                text = mail.text_of(part)[:MAX_TEXT]
                text = mail.plain(text, is_html=kind == "text/html")
                cut = _CUT.search(text)
                text = text[: cut.start()] if cut and cut.start() else text
                if text.strip():
                    return text
    return ""


def _near(address: str, text: str) -> str:
    """Return the lines at the address, from the first that tells why."""
    lines = text.split("\n")
    at = next((n for n, line in enumerate(lines) if address.lower() in line.lower()), None)
    after = lines[at : at + _NEAR_LINES] if at is not None else lines
    for n, line in enumerate(after):
        rest = re.sub(re.escape(address), "", line, flags=re.IGNORECASE)
        if _TELLING.search(rest):
            return mail.one_line(" ".join(_paragraph(after[n:])))
    telling = next((line for line in lines if _TELLING.search(line)), "")
    return mail.one_line(telling or " ".join(_paragraph(after)))


def _paragraph(lines: list[str]) -> list[str]:
    """Return the lines up to the first empty one."""
    end = next((n for n, line in enumerate(lines) if n and not line.strip()), len(lines))
    return lines[: min(end, 5)]
