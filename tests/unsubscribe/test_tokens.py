"""A token names one message, and only this installation can make one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from unsubscribe import tokens

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_token_leads_back_to_its_message() -> None:
    message_id = uuid4()
    assert tokens.read(tokens.make(message_id)) == message_id


def test_no_token_with_one_character_changed_is_accepted() -> None:
    token = tokens.make(uuid4())
    for place in range(len(token)):
        for other in ALPHABET:
            if other != token[place]:
                assert tokens.read(token[:place] + other + token[place + 1 :]) is None


def test_what_is_no_token_is_not_accepted() -> None:
    for text in ("", "x", "ü" * 44, "=" * 44, tokens.make(uuid4()) + "A", "\0" * 44):
        assert tokens.read(text) is None


def test_links_outlive_the_rotation_of_keys(settings: Any) -> None:
    message_id = uuid4()
    token = tokens.make(message_id)
    settings.SIGNING_KEYS = ["new" * 20, *settings.SIGNING_KEYS]
    assert tokens.read(token) == message_id
    settings.SIGNING_KEYS = settings.SIGNING_KEYS[:1]
    assert tokens.read(token) is None


def test_a_mail_address_names_the_message_whatever_became_of_its_case() -> None:
    message_id = uuid4()
    token, local_part = tokens.make_both(message_id)
    assert token == tokens.make(message_id)
    assert len(local_part) <= 64
    assert tokens.read_local_part(local_part) == message_id
    assert tokens.read_local_part(local_part.upper()) == message_id


def test_no_mail_address_with_one_character_changed_is_accepted() -> None:
    _, local_part = tokens.make_both(uuid4())
    for place in range(2, len(local_part)):
        for other in "0123456789abcdef":
            if other != local_part[place]:
                changed = local_part[:place] + other + local_part[place + 1 :]
                assert tokens.read_local_part(changed) is None


def test_what_is_no_unsubscribe_address_is_not_accepted() -> None:
    for text in ("", "u+", "u+" + "a" * 56, "b+" + "a" * 56, "postmaster", "u+ü"):
        assert tokens.read_local_part(text) is None
