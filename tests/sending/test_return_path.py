"""Return-paths: a bounce finds its message, and nobody else can name one."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending.addresses import parse_address
from sending.return_path import decode, encode

KEY = b"k" * 32
MESSAGE_ID = UUID("0190b6a1-7c3e-7d4f-8a9b-0c1d2e3f4a5b")


@given(st.uuids())
def test_every_id_comes_back(message_id: UUID) -> None:
    address = encode(message_id, domain="bounces.example.com", key=KEY)
    assert decode(address, keys=[KEY]) == message_id


def test_address_is_lower_case_and_short_enough_for_smtp() -> None:
    address = encode(MESSAGE_ID, domain="bounces.example.com", key=KEY)
    local, _, domain = address.partition("@")
    assert (local, domain) == (local.lower(), "bounces.example.com")
    assert len(local) <= 64
    assert parse_address(address).address == address


def test_case_of_the_address_does_not_matter() -> None:
    address = encode(MESSAGE_ID, domain="bounces.example.com", key=KEY)
    assert decode(address.upper(), keys=[KEY]) == MESSAGE_ID


def test_any_of_several_keys_is_accepted() -> None:
    address = encode(MESSAGE_ID, domain="bounces.example.com", key=KEY)
    assert decode(address, keys=[b"newer" * 8, KEY]) == MESSAGE_ID
    assert decode(address, keys=[KEY, b"newer" * 8]) == MESSAGE_ID


@pytest.mark.parametrize("keys", [[], [b"another key"]])
def test_address_signed_with_an_unknown_key_is_ignored(keys: list[bytes]) -> None:
    assert decode(encode(MESSAGE_ID, domain="b.example.com", key=KEY), keys=keys) is None


def test_changing_any_one_character_of_the_local_part_is_noticed() -> None:
    address = encode(MESSAGE_ID, domain="b.example.com", key=KEY)
    for position in range(address.index("@")):
        for other in "a2z":
            forged = address[:position] + other + address[position + 1 :]
            assert forged == address or decode(forged, keys=[KEY]) is None


def test_mac_of_another_message_is_ignored() -> None:
    one = encode(MESSAGE_ID, domain="b.example.com", key=KEY)
    other = encode(uuid4(), domain="b.example.com", key=KEY)
    mixed = one.partition(".")[0] + "." + other.partition(".")[2]
    assert decode(mixed, keys=[KEY]) is None


@given(st.text())
def test_other_addresses_are_ignored(text: str) -> None:
    assert decode(text, keys=[KEY]) is None
    assert decode(f"b+{text}@example.com", keys=[KEY]) is None
