"""Somebody's address is found in whatever way a server, a link or a log writes it; no other is."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sending.addresses import InvalidAddress, parse_address
from sending.notations import certain_parts, notations_of

ANN = "ann@recipient.example"


def struck(text: str, address: str = ANN) -> str:
    return notations_of(address).sub("*", text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("550 to=ann@recipient.example, relay=mx", "550 to=*, relay=mx"),
        ("to=<Ann@Recipient.EXAMPLE>: unknown", "to=<*>: unknown"),
        ("RCPT:ann@recipient.example;no", "RCPT:*;no"),
        ("mailto:ann@recipient.example?subject=x", "mailto:*?subject=x"),
        ("rfc822;ann@recipient.example", "rfc822;*"),
        ("rcpt='ann@recipient.example'", "rcpt='*'"),
        ("{ann@recipient.example|`ann@recipient.example`", "{*|`*`"),
        ("smtp/ann@recipient.example/no", "smtp/*/no"),
        ("sent to ...ann@recipient.example...", "sent to ...*..."),
        ("- ann@recipient.example- gone_", "- *- gone_"),
        ("**ann@recipient.example**, _<ann@recipient.example>_", "*****, _<*>_"),
        ('"ann"@recipient.example', "*"),
        (r'{"to": "\"ann\"@recipient.example"}', '{"to": "*"}'),
        ("bounces+7-x=ann=recipient.example@list.example", "bounces+7-x=*@list.example"),
        ("list-return-7-ann=recipient.example@l.example", "list-return-7-*@l.example"),
        ("bounces+ann=recipient.example@l.example", "bounces+*@l.example"),
        ("SRS0=HHH=TT=recipient.example=ann@forwarder.example", "SRS0=HHH=TT=*@forwarder.example"),
        ("prvs=0123456789=ann@recipient.example", "prvs=0123456789=*"),
        ("mx.example!recipient.example!ann", "mx.example!*"),
        ("ann%recipient.example@relay.example", "*@relay.example"),
        ("https://x.example/?to=ann%40recipient.example&a=b", "https://x.example/?to=*&a=b"),
        ("rfc822;ann+40recipient.example", "rfc822;*"),
        ("https://x.example/?to=%3Cann%40recipient.example%3E", "https://x.example/?to=%3C*%3E"),
        (r"\u003cann@recipient.example\u003e", r"\u003c*\u003e"),
        (r"to:\nann@recipient.example\r\n", r"to:\n*\r\n"),
        ("&lt;ann&#64;recipient.example&gt;", "&lt;*&gt;"),
    ],
)
def test_an_address_is_struck_out_however_it_is_written(text: str, left: str) -> None:
    assert struck(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "joann@recipient.example",
        "jo-ann@recipient.example",
        "jo.ann@recipient.example",
        "list+ann@recipient.example",
        "o'ann@recipient.example",
        "r&ann@recipient.example",
        "jo_ann@recipient.example",
        "7ann@recipient.example",
        "éann@recipient.example",
        "ann@recipient.example.org",
        "ann@recipient.examples",
        "ann@recipient.example-site.org",
        "ann@mail.recipient.example",
        "ann=recipient.example.org@list.example",
        "bounces-joann=recipient.example@list.example",
        "x=recipient.example=anna@forwarder.example",
        "ann+tag@recipient.example",
        "ann at recipient",
    ],
)
def test_the_address_of_another_stays(text: str) -> None:
    assert struck(text) == text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ann+tag@recipient.example", "?to=ann%2Btag%40recipient.example"),
        ("jürgen@recipient.example", "JÜRGEN@recipient.example"),
        ("jürgen@recipient.example", "ju\u0308rgen@recipient.example"),
        ("jürgen@recipient.example", "?to=J%C3%9Crgen%40recipient.example"),
        ("ann@xn--bcher-kva.example", "to=<ann@Bücher.example>"),
    ],
)
def test_signs_are_found_in_their_codes(address: str, text: str) -> None:
    assert "*" in struck(text, address)
    assert re.search("rgen|ann", struck(text, address), re.IGNORECASE) is None


LOCALS = st.from_regex(r"[a-z0-9]([a-z0-9+._=/-]{0,8}[a-z0-9])?", fullmatch=True)
HOSTS = st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?\.(example|test)", fullmatch=True)
BEFORE = st.sampled_from(
    ["", " ", "to=", "rcpt=<", "x:", "mailto:", "a;", "(", "'", '"', "[", "<", ",", "|", "%3C", "?"]
)
AFTER = st.sampled_from(["", " ", ">", ":", ";", ")", "'", '"', "]", ",", ".", ". No", "?", "%3E"])


@given(local=LOCALS, host=HOSTS, before=BEFORE, after=AFTER, sign=st.sampled_from("@=%"))
@example(local="a", host="a.test", before="=", after="", sign="@")
def test_nothing_is_left_of_any_address(
    local: str, host: str, before: str, after: str, sign: str
) -> None:
    try:
        address = parse_address(f"{local}@{host}").suppression_key
    except InvalidAddress:
        return
    for written in (address, address.upper(), address.title()):
        text = f"{before}{written.replace('@', sign)}{after}"
        assert struck(text, address) == f"{before}*{after}", text
        piece, hosts = certain_parts(address)
        assert piece in text.lower()
        assert any(one in text.lower() for one in hosts)
