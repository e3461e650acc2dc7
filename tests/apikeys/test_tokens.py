"""The secret as a string."""

import pytest

from apikeys import tokens


def test_token_survives_being_written_and_read() -> None:
    token = tokens.new_token()

    assert tokens.split(token.text) == token


def test_token_has_a_short_prefix_and_256_random_bits() -> None:
    token = tokens.new_token()

    assert token.prefix.startswith("bm_")
    assert len(token.prefix) == 13
    assert len(token.random_part) == 43


def test_no_two_tokens_are_alike() -> None:
    made = {tokens.new_token() for _ in range(1000)}

    assert len({token.prefix for token in made}) == 1000
    assert len({token.random_part for token in made}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bm_",
        "x" * 10_000,
        "bm_abcdefghij_" + "a" * 42,
        "bm_abcdefghij_" + "a" * 44,
        "bm_ABCDEFGHIJ_" + "a" * 43,
        "bm_abcdefghij_" + "a" * 43 + "\n",
        "bm_abcdefghij_" + "a" * 42 + "\0",
        "bm_abcdefghij_" + "é" * 43,
        " bm_abcdefghij_" + "a" * 43,
    ],
)
def test_what_is_no_token_is_not_taken_apart(text: str) -> None:
    assert tokens.split(text) is None


def test_digest_depends_on_the_key_outside_the_database(settings) -> None:
    random_part = tokens.new_token().random_part
    settings.API_KEY_HASH_KEY = "a" * 32
    first = tokens.digest(random_part)
    settings.API_KEY_HASH_KEY = "b" * 32

    assert tokens.digest(random_part) != first
    assert len(first) == 64
    assert random_part not in first
