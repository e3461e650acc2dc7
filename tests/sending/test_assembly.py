"""A message becomes a mail: rendered, with its additions, signed, the same on every try."""

from __future__ import annotations

import email
import email.policy
import re
from typing import Any

import dkim
import pytest

from sending.delivery.assembly import assemble
from sending.dkim import generate_key
from sending.mime import build
from sending.models import Message, SenderDomain, Stream
from sending.steps import message_steps
from tests.factories.sending import MessageFactory, SenderDomainFactory, TemplateFactory

pytestmark = pytest.mark.django_db

# A template as people have it in the original: its three kinds of token, no tracking.
ORIGINAL = """<html><body>
<p>Hello {{.API.name}}, your code is {{ .API.code }}.</p>
<p>We write to {{.Subscriber.Email}}; you are {{.Subscriber.Active}}.</p>
<p><a href="{{ UnsubscribeURL . }}">Unsubscribe</a> or <a href="__UNSUBSCRIBE_URL__">here</a></p>
</body></html>"""


def message_of(*, html: str, text: str = "", **fields: Any) -> Message:
    template = TemplateFactory.create(version__html=html, version__text=text)
    return MessageFactory.create(template_version=template.current_version, **fields)


def test_a_template_of_the_original_renders_the_same_text() -> None:
    message = message_of(html=ORIGINAL, attribs={"name": "Ann", "code": "0042"})
    html = str(assemble(message, domain=None).html)
    url = re.search(r'href="([^"]+)"', html)[1]
    assert url.startswith("http://testserver/u/")
    assert html == (
        "<html><body>\n"
        "<p>Hello Ann, your code is 0042.</p>\n"
        f"<p>We write to {message.recipient}; you are .</p>\n"
        f'<p><a href="{url}">Unsubscribe</a> or <a href="{url}">here</a></p>\n'
        "</body></html>"
    )


def test_the_footer_goes_before_the_end_of_the_body_and_into_the_text() -> None:
    message = message_of(html="<html><body><p>x</p></body></html>", has_unsubscribe_link=True)
    outgoing = assemble(message, domain=None)
    assert re.search(r">Unsubscribe</a></p></body></html>$", str(outgoing.html))
    assert re.search(r"\nUnsubscribe: http://testserver/u/\S+\n$", outgoing.text)


@pytest.mark.parametrize("html", ["<p>x</p></html>", "<p>x</p>"])
def test_without_a_body_tag_the_footer_goes_to_the_end(html: str) -> None:
    outgoing = assemble(message_of(html=html, has_unsubscribe_link=True), domain=None)
    assert str(outgoing.html).startswith("<p>x</p><p style=")
    assert str(outgoing.html).endswith("</html>" if "</html>" in html else "</p>")


def test_no_footer_where_the_template_places_the_link_or_the_key_wants_none() -> None:
    placed = message_of(html=ORIGINAL, has_unsubscribe_link=True)
    assert str(assemble(placed, domain=None).html).count("/u/") == 2
    unwanted = message_of(html="<p>x</p>", has_unsubscribe_link=False)
    outgoing = assemble(unwanted, domain=None)
    assert str(outgoing.html) == "<p>x</p>"
    assert "List-Unsubscribe" not in dict(outgoing.headers)


def test_the_mail_carries_one_click_headers_where_the_key_asks_for_them() -> None:
    message = message_of(html="<p>x</p>", has_unsubscribe_link=True)
    headers = dict(assemble(message, domain=None).headers)
    assert re.fullmatch(r"<http://testserver/u/[\w=-]{44}>", headers["List-Unsubscribe"])
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_the_stream_decides_how_automatic_the_mail_calls_itself() -> None:
    transactional = dict(assemble(message_of(html="<p>x</p>"), domain=None).headers)
    assert transactional["Auto-Submitted"] == "auto-generated"
    bulk = dict(assemble(message_of(html="<p>x</p>", stream=Stream.BULK), domain=None).headers)
    assert bulk["Precedence"] == "bulk"
    assert "Auto-Submitted" not in bulk


def test_sending_works_without_any_step(settings: Any) -> None:
    settings.MESSAGE_STEPS = []
    message_steps.cache_clear()
    try:
        message = message_of(html=ORIGINAL + "<!-- no steps -->", has_unsubscribe_link=True)
        outgoing = assemble(message, domain=None)
    finally:
        message_steps.cache_clear()
    assert '<a href="">' in str(outgoing.html) or '<a href="#">' in str(outgoing.html)


def test_every_try_gives_the_same_bytes() -> None:
    message = message_of(html=ORIGINAL, has_unsubscribe_link=True)
    domain = signing_domain()
    first, second = (build(assemble(message, domain=domain)) for _ in range(2))
    assert first == second


def signing_domain() -> SenderDomain:
    private_key, dns_value = generate_key()
    return SenderDomainFactory.create(
        domain="sender.example",
        dkim_private_key=private_key,
        dkim_dns_value=dns_value,
        is_dkim_active=True,
    )


def test_the_mail_of_a_signing_domain_verifies_and_covers_the_way_out() -> None:
    domain = signing_domain()
    message = message_of(html="<p>x</p>", has_unsubscribe_link=True)
    raw = build(assemble(message, domain=domain))
    asked: list[bytes] = []

    def dns(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return domain.dkim_dns_value.encode()

    assert dkim.verify(raw, dnsfunc=dns)
    assert asked == [b"bm1._domainkey.sender.example."]
    signature = email.message_from_bytes(raw, policy=email.policy.default)["DKIM-Signature"]
    signed = re.search(r"h=([^;]+);", signature.replace(" ", ""))[1].lower().split(":")
    assert {"from", "to", "subject", "date", "list-unsubscribe", "list-unsubscribe-post"} <= set(
        signed
    )


def test_a_domain_that_does_not_sign_yet_sends_unsigned() -> None:
    domain = signing_domain()
    domain.is_dkim_active = False
    raw = build(assemble(message_of(html="<p>x</p>"), domain=domain))
    assert b"DKIM-Signature" not in raw


def test_a_return_path_domain_makes_bounces_name_their_message() -> None:
    domain = SenderDomainFactory.create(
        domain="sender.example", return_path_domain="bounce.sender.example"
    )
    outgoing = assemble(message_of(html="<p>x</p>"), domain=domain)
    assert re.fullmatch(r"b\+\w{26}\.\w{16}@bounce\.sender\.example", outgoing.envelope_sender)
    assert outgoing.sender.address == "shop@sender.example"
