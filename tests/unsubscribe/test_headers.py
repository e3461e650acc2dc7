"""What a mail says about the way out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sending.dkim import SIGNED_HEADERS
from sending.models import Message
from sending.steps import Draft
from tests.factories.sending import MessageFactory
from unsubscribe import tokens
from unsubscribe.headers import add_list_unsubscribe

FORM = re.compile(r"<http://testserver/u/([\w-]+)>(?:, <mailto:(u\+[0-9a-f]+)@reports.example>)?")


def draft_of(html: str, *, places_link: bool) -> Draft:
    return Draft(
        html,
        "Hi",
        has_unsubscribe_link=True,
        places_unsubscribe_url=places_link,
        track_opens=False,
        track_clicks=False,
        fingerprint=b"",
    )


def message(*, has_link: bool = True) -> Message:
    return MessageFactory.build(has_unsubscribe_link=has_link, api_key=None, template_version=None)


def test_the_header_has_one_uri_and_asks_for_one_click() -> None:
    one = message()
    headers = dict(add_list_unsubscribe.fill(one, None).headers)
    token, local_part = FORM.fullmatch(headers["List-Unsubscribe"]).groups()
    assert tokens.read(token) == one.id
    assert local_part is None
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert set(headers) <= set(SIGNED_HEADERS)


def test_a_mail_address_is_named_where_one_is_received(settings: Any) -> None:
    settings.UNSUBSCRIBE_MAILTO_DOMAIN = "reports.example"
    one = message()
    headers = dict(add_list_unsubscribe.fill(one, None).headers)
    token, local_part = FORM.fullmatch(headers["List-Unsubscribe"]).groups()
    assert tokens.read(token) == tokens.read_local_part(local_part) == one.id


def test_a_key_without_the_flag_gives_the_link_to_the_template_only() -> None:
    additions = add_list_unsubscribe.fill(message(has_link=False), None)
    assert additions.headers == ()
    assert additions.values["UnsubscribeURL"].startswith("http://testserver/u/")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<body><p>Hi</p></body></html>", "<body><p>Hi</p>FOOTER</body></html>"),
        ("<p>Hi</p></HTML>", "<p>Hi</p>FOOTER</HTML>"),
        ("<p>Hi</p>", "<p>Hi</p>FOOTER"),
    ],
)
def test_the_footer_goes_to_the_end_of_both_bodies(html: str, expected: str) -> None:
    draft = draft_of(html, places_link=False)
    prepared = add_list_unsubscribe.prepare(draft)
    before, after = expected.split("FOOTER")
    assert prepared.html.startswith(before)
    assert prepared.html.endswith(after)
    assert prepared.html.count("UnsubscribeURL") == prepared.text.count("UnsubscribeURL") == 1


def test_a_template_that_places_the_link_gets_no_footer() -> None:
    draft = draft_of("<p>Hi</p>", places_link=True)
    assert add_list_unsubscribe.prepare(draft) == draft
