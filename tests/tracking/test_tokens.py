"""A token names one message and one destination, and only this installation can make one."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from sending.signing import key_id, mac, to_text
from tracking import tokens
from tracking.tokens import Click, own_link, read_click, read_message, shared_link

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
KEY, OTHER_KEY = "k" * 48, "o" * 48
VERSION, OTHER_VERSION = b"sixbyt", b"others"
URL = "https://shop.example/päge?a=1&b=2"


def token_of(message_id: UUID, *, key: str = KEY, version: bytes = VERSION) -> str:
    return tokens.sign_message(message_id, version, key=key).token


def shared(message_id: UUID) -> str:
    return token_of(message_id) + shared_link(3, URL, VERSION, key=KEY)


def own(message_id: UUID) -> str:
    token, own = tokens.sign_message(message_id, VERSION, key=KEY)
    return token + own_link(3, URL, own)


@pytest.mark.parametrize("make", [shared, own])
def test_a_link_says_its_message_its_number_and_where_it_leads(make: Callable[..., str]) -> None:
    message_id = uuid4()
    assert read_click(make(message_id), keys=[KEY]) == Click(message_id, 3, URL)


def test_a_pixel_says_its_message() -> None:
    message_id = uuid4()
    token = token_of(message_id)
    assert len(token) == tokens.MESSAGE_CHARACTERS
    assert read_message(token, keys=[KEY]) == message_id


@pytest.mark.parametrize("make", [shared, own])
def test_of_a_hundred_tokens_none_with_one_character_changed_is_accepted(
    make: Callable[..., str],
) -> None:
    for number in range(100):
        token = make(uuid4())
        for place, character in enumerate(token):
            # Every other character at every place of one token, then one a place.
            others = ALPHABET if number == 0 else ALPHABET[(number + place) % 64]
            for other in others.replace(character, ""):
                changed = token[:place] + other + token[place + 1 :]
                assert read_click(changed, keys=[KEY]) is None
                assert read_message(changed[:48], keys=[KEY]) is None or place >= 48


@pytest.mark.parametrize("make", [shared, own])
def test_no_part_of_a_token_is_accepted(make: Callable[..., str]) -> None:
    token = make(uuid4())
    for length in range(len(token)):
        assert read_click(token[:length], keys=[KEY]) is None
    assert read_click(token + "A", keys=[KEY]) is None
    assert read_click(token + "=", keys=[KEY]) is None


@pytest.mark.parametrize("text", ["", "x", "ü" * 48, "=" * 48, "\0" * 48, "A" * 48, "A" * 500])
def test_what_is_no_token_is_not_accepted(text: str) -> None:
    assert read_message(text, keys=[KEY]) is None
    assert read_click(text, keys=[KEY]) is None
    assert read_message(text, keys=[]) is None


def test_a_link_cannot_be_moved_into_the_mail_of_another_template() -> None:
    stranger = token_of(uuid4(), version=OTHER_VERSION)
    assert read_click(stranger + shared_link(3, URL, VERSION, key=KEY), keys=[KEY]) is None


def test_a_link_made_for_one_recipient_cannot_be_moved_into_the_mail_of_another() -> None:
    rest = own(uuid4())[tokens.MESSAGE_CHARACTERS :]
    assert read_click(token_of(uuid4()) + rest, keys=[KEY]) is None


def test_a_mac_made_for_another_purpose_is_not_accepted() -> None:
    message_id = uuid4()
    head = bytes((tokens.VERSION, key_id(KEY))) + message_id.bytes + VERSION
    forged = to_text(head + mac(head, purpose=b"unsubscribe", key=KEY, size=12))
    assert read_message(forged, keys=[KEY]) is None


def test_links_outlive_the_rotation_of_keys_and_end_with_their_key() -> None:
    message_id = uuid4()
    assert read_click(shared(message_id), keys=[OTHER_KEY, KEY]) is not None
    assert read_message(token_of(message_id), keys=[OTHER_KEY, KEY]) == message_id
    assert read_click(shared(message_id), keys=[OTHER_KEY]) is None
    assert read_message(token_of(message_id), keys=[OTHER_KEY]) is None


def test_two_keys_with_the_same_number_are_told_apart() -> None:
    twin = next(key for key in map(str, range(10_000)) if key_id(key) == key_id(KEY))
    message_id = uuid4()
    assert read_message(token_of(message_id), keys=[twin, KEY]) == message_id
    assert read_message(token_of(message_id, key=twin), keys=[KEY]) is None


def test_the_longest_link_fits_where_outlook_cuts() -> None:
    longest = "https://shop.example/" + "x" * (tokens.MAX_URL_BYTES - 21)
    link = token_of(uuid4()) + shared_link(1, longest, VERSION, key=KEY)
    assert len(link) + len("https://links.example.com/t/c/") <= 2083
