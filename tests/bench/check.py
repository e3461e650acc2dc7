"""Prove on a few hundred mails that what is measured is what it should be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.message import EmailMessage

import dkim

from tests.bench import mail
from tests.bench.keys import CHECKED, SUPPRESSED
from tests.bench.product import Product
from tests.processes import wait_until
from tests.sink import Sink

MAX_LINE_BYTES = 998  # RFC 5322 section 2.1.1
SAMPLE = 10  # every tenth is read


def check(product: Product, sink: Sink, *, messages: int, dkim_dns_value: str) -> int:
    """Send signed mails by two workers to a sink that keeps them; return the bytes of one.

    Raises RuntimeError unless each arrives once, and reads back as the template says.
    """
    product.forget()
    sink.envelopes.clear()
    with product.workers(2) as (_, gate):
        gate.rollback()
        product.batch(messages - 1, key=CHECKED)
        _require_screening(product)
        product.wait_until_empty()
    wait_until(lambda: len(sink.envelopes) >= messages)
    accepted = product.message_ids()
    require_once(accepted, [str(each["Message-ID"]) for each in sink.messages])
    if len(accepted) != messages:
        raise RuntimeError(f"{messages} recipients were given, {len(accepted)} messages stored.")
    for envelope, message in list(zip(sink.envelopes, sink.messages, strict=True))[::SAMPLE]:
        _require_right(message, recipient=envelope.rcpt_tos[0])
        _require_wire(envelope.content or b"", dkim_dns_value=dkim_dns_value)
    return len(sink.envelopes[0].content or b"")


def _require_screening(product: Product) -> None:
    recipients = [SUPPRESSED, "last@recipient.example"]
    if product.accept(recipients, mail.VALUES, key=CHECKED) != 1:
        raise RuntimeError("A suppressed recipient was accepted.")


def require_once(accepted: Iterable[str], arrived: list[str]) -> None:
    """Raise RuntimeError unless each Message-ID accepted arrived once, and no other."""
    lost, foreign = set(accepted) - set(arrived), set(arrived) - set(accepted)
    doubled = len(arrived) - len(set(arrived))
    if lost or foreign or doubled:
        raise RuntimeError(
            f"Of the messages accepted {len(lost)} are lost, {doubled} copies came too many, "
            f"{len(foreign)} were never accepted."
        )


def _require_right(message: EmailMessage, *, recipient: str) -> None:
    html = message.get_body(("html",)).get_content()
    text = message.get_body(("plain",)).get_content()
    name = str(message["Subject"]).removeprefix("An offer for ")
    problems = {
        "has defects": message.defects,
        "is to somebody else": str(message["To"]) != recipient,
        "has no value of its own": not name.startswith("Ann") or "{{" in html + text,
        "is not personal": html.count(f"Dear {name} of") != mail.LINKS
        or html.count(recipient) != mail.LINKS,
        "lacks tracked links": len(re.findall(r'href="https://mail\.example\.com/t/c/', html))
        != mail.LINKS,
        "lacks its pixel": len(re.findall(r'src="https://mail\.example\.com/t/o/', html)) != 1,
        "has no way out": "https://mail.example.com/" not in str(message["List-Unsubscribe"])
        or str(message["List-Unsubscribe-Post"]) != "List-Unsubscribe=One-Click",
        "has no line to unsubscribe": "Unsubscribe</a>" not in html,
        "is too small": len(html) < mail.HTML_BYTES * 0.9,
    }
    wrong = [name for name, is_so in problems.items() if is_so]
    if wrong:
        raise RuntimeError(f"A mail {', '.join(wrong)}:\n{message.as_string()[:4000]}")


def _require_wire(content: bytes, *, dkim_dns_value: str) -> None:
    if max(len(line) for line in content.split(b"\r\n")) > MAX_LINE_BYTES:
        raise RuntimeError("A mail has a line that is too long.")

    def record(name: bytes, timeout: int = 5) -> bytes:
        return dkim_dns_value.encode()

    if not dkim.verify(content, dnsfunc=record):
        raise RuntimeError("The DKIM signature of a mail does not verify.")
