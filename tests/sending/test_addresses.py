"""Addresses: what is accepted, in which form, and what the refusal says."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sending.addresses import Address, InvalidAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        (" \tann@example.com\r\n", "ann@example.com"),
        ("Ann.Lee+tag@Mail.Example.COM", "Ann.Lee+tag@mail.example.com"),
        ("o'neil=x/y{z}@a-b.example", "o'neil=x/y{z}@a-b.example"),
        ("ann@foo.test", "ann@foo.test"),
        ("ann@mail.corp.local", "ann@mail.corp.local"),
        ("ann@1and1.example", "ann@1and1.example"),
        ("ann@ab--cd.example", "ann@ab--cd.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
        ("ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("a@" + "x" * 63 + ".example", "a@" + "x" * 63 + ".example"),
        ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
    ],
)
def test_good_addresses_come_out_in_wire_form(text: str, address: str) -> None:
    parsed = parse_address(text)
    assert parsed.address == address
    assert not parsed.needs_smtputf8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("ann", "has no @"),
        ("@example.com", "nothing before the @"),
        ("ann@", "nothing after the @"),
        ("ann@localhost", "The domain 'localhost' has no dot"),
        ("ann@[192.0.2.1]", "IP address in brackets"),
        ("ann@[IPv6:2001:db8::1]", "IP address in brackets"),
        ("ann@192.0.2.1", "last one must not be a number"),
        ("ann@127。0。0。1", "last one must not be a number"),
        ("Ann <ann@example.com>", "angle brackets"),
        ("<ann@example.com>", "angle brackets"),
        ("ann@example.com,bob@example.com", "exactly one address"),
        ("ann@bob@example.com", "more than one @"),
        ("ann lee@example.com", "blank inside"),
        ("ann\u00a0lee@example.com", "blank inside"),
        ("ann@example.com\r\nbob@example.com", "blank inside"),
        ('"ann lee"@example.com', "blank inside"),
        ('"ann"@example.com', "quoted local parts"),
        ("ann\x00@example.com", "U+0000 at position 4"),
        ("ann\x7f@example.com", "U+007F at position 4"),
        ("ann\u200b@example.com", "U+200B at position 4"),
        ("ann\ud83d@example.com", "U+D83D at position 4"),
        (".ann@example.com", "dot at its start"),
        ("ann.@example.com", "dot at its start, at its end"),
        ("ann..lee@example.com", "next to another dot"),
        ("ann(lee)@example.com", "not allowed there"),
        ("x" * 65 + "@example.com", "65 octets"),
        ("ü" * 33 + "@example.com", "66 octets"),
        ("ann@" + "x." * 125 + "de", "256 characters"),
        ("ü" * 32 + "@" + "x" * 63 + "." + "y" * 63 + "." + "z" * 60 + ".de", "256 octets"),
        ("ann@" + "x" * 64 + ".example", "each at most 63"),
        ("ann@-x.example", "inner hyphens"),
        ("ann@x..example", "not a host name"),
        ("ann@example.com.", "not a host name"),
        ("ann@ex_ample.com", "not a host name"),
        ("ann@☃.example", "U+2603"),
        ("ann@xn--zzzzzz.example", "A-label"),
    ],
)
def test_bad_addresses_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        parse_address(text)
    assert reason in str(refusal.value)


def test_local_part_outside_ascii_needs_smtputf8() -> None:
    parsed = parse_address("jürgen@bücher.example")
    assert parsed == Address(local="jürgen", domain="xn--bcher-kva.example")
    assert parsed.needs_smtputf8


def test_decomposed_letters_are_composed() -> None:
    assert parse_address("ju\u0308rgen@example.com") == parse_address("jürgen@example.com")


def test_suppression_key_ignores_case_but_keeps_the_tag() -> None:
    key = parse_address("Ann+News@Example.com").suppression_key
    assert key == "ann+news@example.com"
    assert key == parse_address("ANN+NEWS@EXAMPLE.COM").suppression_key
    assert key != parse_address("ann@example.com").suppression_key


@given(st.text() | st.from_regex(r".{1,5}@.{1,5}\..{1,4}", fullmatch=True))
@example("a@b.c\n")
@example("a@xn--.de")
@example("a@\u0300.de")
def test_any_text_gives_an_address_or_a_refusal(text: str) -> None:
    try:
        parsed = parse_address(text)
    except InvalidAddress:
        return
    assert parse_address(parsed.address) == parsed
    assert parsed.domain.isascii()
    assert parsed.address.isprintable()
    assert not set(parsed.address) & set(' ",;<>()[]\\')
