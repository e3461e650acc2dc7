"""Wire format: the bytes obey the RFCs, and two independent readers see what was meant."""

import binascii
import email
import quopri
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any
from uuid import UUID

import dkim
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sending.addresses import InvalidAddress
from sending.dkim import DkimKey, generate_key, load_private_key
from sending.mime import RESERVED_HEADERS, Content, HeaderInjection, build, compose
from sending.outgoing import Mailbox, Outgoing
from sending.rendering import Target, compile_source
from sending.transports.smtp.envelope import body_for_wire

OUTGOING = Outgoing(
    id=UUID(int=1),
    claim=1,
    envelope_sender="b+1@bounces.example.com",
    recipient="ann@example.org",
    sender=Mailbox("news@example.com", "Example News"),
    subject="Your order",
    text="Hello Ann,\n\nthank you.\n",
    html="<p>Hello Ann,</p>\n<p>thank you.</p>\n",
    message_id="<0190b6a1@example.com>",
    date=datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC),
)
PEM, RECORD = generate_key()
KEY = DkimKey(domain="example.com", selector="s1", private_key=load_private_key(PEM))
FORBIDDEN = [*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029", "\ud83d"]

SPECIALS = ["=?utf-8?q?x?=", "=?", "?=", " ", "  ", "<a@b>", *'"\\(,;:@.']
WORDS = ["Hello", "Grüße", "🎉", "👩\u200d👧", "שלום", "مرحبا", "日本語", "e\u0301", "x" * 80]
pieces = st.sampled_from(SPECIALS + WORDS)
header_texts = st.one_of(
    st.lists(pieces, max_size=30).map(" ".join),
    st.lists(pieces, max_size=30).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="".join(FORBIDDEN[:-1])), max_size=300),
)
SHORT_LINES = ["", ".", "..", ".x", "From me", "--", "--=_", "end ", "tab\t", " ", "a=3D", "\x0b"]
LONG_LINES = ["x" * 76, "x" * 77, "=" * 80, "y" * 2000, "日" * 700, "🎉" * 40, "z " * 60]
lines = st.one_of(
    st.sampled_from(SHORT_LINES + LONG_LINES),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=120),
)
bodies = st.builds(
    lambda parts, end: end.join(parts),
    st.lists(lines, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
)


def modern(raw: bytes) -> EmailMessage:
    """Read with the current parser of the standard library, which lists what is wrong."""
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    return message


def strict(raw: bytes) -> tuple[dict[str, str], list[tuple[dict[str, str], bytes]]]:
    """Read by the letter of the RFCs: the headers, then headers and octets of each part."""
    headers, body = strict_entity(raw)
    match = re.fullmatch(r'multipart/alternative; boundary="([^"]{1,70})"', headers["content-type"])
    if match is None:
        return headers, [(headers, decoded(headers, body))]
    preamble, *parts, epilogue = (b"\r\n" + body).split(f"\r\n--{match[1]}".encode())
    assert (preamble, epilogue) == (b"", b"--\r\n")
    entities = [strict_entity(part.removeprefix(b"\r\n")) for part in parts]
    return headers, [(head, decoded(head, content)) for head, content in entities]


def strict_entity(raw: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in re.split(r"\r\n(?![ \t])", head.decode("utf-8")):
        name, value = line.split(": ", 1)
        assert name.lower() not in headers, f"{name} occurs twice"
        headers[name.lower()] = value.replace("\r\n", "")
    return headers, body


def decoded(headers: dict[str, str], body: bytes) -> bytes:
    match headers["content-transfer-encoding"]:
        case "7bit":
            return body
        case "quoted-printable":
            assert not re.search(rb"=(?![0-9A-F]{2}|\r\n)|[ \t](?:\r\n|\Z)", body)
            return quopri.decodestring(body)
        case "base64":
            return binascii.a2b_base64(body.replace(b"\r\n", b""), strict_mode=True)
    raise AssertionError(headers)


def text_of(headers: dict[str, str], octets: bytes) -> str:
    match = re.fullmatch(r'text/(plain|html); charset="(us-ascii|utf-8)"', headers["content-type"])
    assert match
    return octets.decode(match[2])


def normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def wire_normal(text: str) -> str:
    return normal(text).replace("\n", "\r\n")


def assert_wire_rules(raw: bytes) -> None:
    assert raw.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert raw.isascii()
    head, _, body = raw.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        assert len(line) <= 998
        assert line.strip(), "a header line of blanks only"
        if len(line) > 76:
            assert re.fullmatch(rb"(?:[!-9;-~]+:)? ?[^ ]+(?: {2,}[^ ]*)*", line), "could be folded"
        for word in re.findall(rb"=\?utf-8\?.*?\?=", line):
            assert len(word) <= 75
    assert max(map(len, body.split(b"\r\n"))) <= 76


def with_headers(*headers: tuple[str, str]) -> Outgoing:
    return replace(OUTGOING, headers=headers)


@settings(max_examples=150, deadline=None)
@given(subject=header_texts)
@example(subject="")
@example(subject=" both ends ")
@example(subject="x" * 2000)
@example(subject="a" + " " * 1500 + "b")
@example(subject="word " * 60)
@example(subject="two  blanks   " * 20)
@example(subject="日" * 300)
@example(subject="=?utf-8?b?8J+OiQ==?=")
def test_every_subject_reads_back_the_same(subject: str) -> None:
    raw = build(replace(OUTGOING, subject=subject))
    assert_wire_rules(raw)
    assert modern(raw)["Subject"] == subject
    headers, _ = strict(raw)
    assert str(make_header(decode_header(headers["subject"]))) == subject


@settings(max_examples=150, deadline=None)
@given(name=header_texts)
@example(name="O'Neil, Ann (Sales)")
@example(name="Ann J. Lee")
@example(name='Ann "the \\ boss" Lee')
@example(name="undisclosed: list;")
@example(name=" both ends ")
@example(name="x" * 300)
@example(name="日" * 100)
def test_every_display_name_reads_back_the_same(name: str) -> None:
    mailbox = Mailbox("help@example.com", name)
    raw = build(replace(OUTGOING, sender=mailbox, reply_to=mailbox))
    assert_wire_rules(raw)
    headers, _ = strict(raw)
    for header in ("from", "reply-to"):
        [(found, address)] = getaddresses([headers[header]])
        assert address == "help@example.com"
        assert str(make_header(decode_header(found))) == name
        [parsed] = modern(raw)[header].addresses
        assert parsed.addr_spec == "help@example.com"
        # This parser leaves the blanks between encoded words in, against RFC 2047 section 6.2.
        assert parsed.display_name.replace(" ", "") == name.replace(" ", "")


@settings(max_examples=150, deadline=None)
@given(text=bodies, html=bodies)
@example(text="no line end", html="<p>")
@example(text="x" * 2000, html="=" * 2000)
@example(text="a\rb\r\nc\n\rd", html="\r")
@example(text="blank ", html="soft break before a blank " + "x" * 49 + " \n")
@example(text="Привет " * 40, html="日本" * 400)
def test_every_body_reads_back_the_same(text: str, html: str) -> None:
    raw = build(replace(OUTGOING, text=text, html=html))
    assert_wire_rules(raw)
    message = modern(raw)
    _, parts = strict(raw)
    if not html:  # the line end that SMTP needs after the last line may be added
        [part] = parts
        assert text_of(*part).removesuffix("\r\n") == wire_normal(text).removesuffix("\r\n")
        return
    assert [text_of(*part) for part in parts] == [wire_normal(text), wire_normal(html)]
    plain, rich = message.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert rich.get_content_type() == "text/html"
    assert normal(plain.get_content()) == normal(text)
    assert normal(rich.get_content()) == normal(html)


def test_headers_stand_once_each_in_a_fixed_order() -> None:
    outgoing = replace(
        with_headers(("Auto-Submitted", "auto-generated"), ("X-Tag", "spring")),
        reply_to=Mailbox("help@example.com"),
    )
    head = build(outgoing).partition(b"\r\n\r\n")[0].decode()
    assert [line.partition(":")[0] for line in head.split("\r\n")] == [
        "Date", "Message-ID", "From", "To", "Reply-To", "Subject", "Auto-Submitted", "X-Tag",
        "MIME-Version", "Content-Type",
    ]  # fmt: skip


def test_plain_values_stand_as_they_are() -> None:
    headers, _ = strict(build(OUTGOING))
    assert headers["date"] == "Sun, 01 Mar 2026 12:30:15 +0000"
    assert headers["message-id"] == "<0190b6a1@example.com>"
    assert headers["from"] == "Example News <news@example.com>"
    assert headers["to"] == "ann@example.org"
    assert headers["subject"] == "Your order"
    assert headers["mime-version"] == "1.0"


def test_date_keeps_its_zone() -> None:
    date = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
    headers, _ = strict(build(replace(OUTGOING, date=date)))
    assert headers["date"] == "Sun, 01 Mar 2026 12:00:00 -0330"


def test_date_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        build(replace(OUTGOING, date=datetime(2026, 3, 1)))  # noqa: DTZ001


def test_message_without_html_is_one_plain_part() -> None:
    message = modern(build(replace(OUTGOING, html="")))
    assert message.get_content_type() == "text/plain"
    assert normal(message.get_content()) == OUTGOING.text


def test_short_ascii_lines_are_sent_as_they_are() -> None:
    _, parts = strict(build(OUTGOING))
    assert [head["content-transfer-encoding"] for head, _ in parts] == ["7bit", "7bit"]
    assert OUTGOING.text.replace("\n", "\r\n").encode() in build(OUTGOING)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("x" * 76, "7bit"),
        ("x" * 77, "quoted-printable"),
        ("Best regards from all of us in München\n" * 10, "quoted-printable"),
        ("Grüße aus München\n" * 10, "base64"),
        ("Привет, мир\n" * 10, "base64"),
        ("bell \x07", "quoted-printable"),
    ],
)
def test_body_takes_the_shorter_encoding_that_is_safe(text: str, encoding: str) -> None:
    headers, _ = strict(build(replace(OUTGOING, text=text, html="")))
    assert headers["content-transfer-encoding"] == encoding


def test_body_with_the_boundary_in_it_does_not_end_the_part() -> None:
    boundary = modern(build(OUTGOING)).get_boundary()
    text = f"before\n--{boundary}\n\nforged\n--{boundary}--\n"
    message = modern(build(replace(OUTGOING, text=text, html=text)))
    assert message.get_boundary() == boundary
    assert [normal(part.get_content()) for part in message.iter_parts()] == [text, text]


def test_building_twice_gives_the_same_bytes() -> None:
    outgoing = replace(OUTGOING, dkim_key=KEY)
    assert build(outgoing) == build(outgoing)
    assert f" t={int(OUTGOING.date.timestamp())};".encode() in build(outgoing)


def test_sender_domain_outside_ascii_goes_out_in_a_labels() -> None:
    headers, _ = strict(build(replace(OUTGOING, sender=Mailbox("news@bücher.example", "Bücher"))))
    assert headers["from"].endswith(" <news@xn--bcher-kva.example>")


def test_local_part_outside_ascii_goes_out_as_utf8() -> None:
    outgoing = replace(
        OUTGOING, recipient="jürgen@example.org", sender=Mailbox("ü@example.com", "Ü")
    )
    assert outgoing.needs_smtputf8
    headers, _ = strict(build(outgoing))
    assert headers["to"] == "jürgen@example.org"
    assert headers["from"].endswith("?= <ü@example.com>")
    message = email.message_from_string(build(outgoing).decode(), policy=policy.SMTPUTF8)
    assert message["To"].addresses[0].addr_spec == "jürgen@example.org"


@pytest.mark.parametrize("character", FORBIDDEN, ids=lambda character: f"U+{ord(character):04X}")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: replace(OUTGOING, subject=value),
        lambda value: replace(OUTGOING, sender=Mailbox("news@example.com", value)),
        lambda value: replace(OUTGOING, sender=Mailbox(f"{value}@example.com")),
        lambda value: replace(OUTGOING, recipient=f"{value}@example.com"),
        lambda value: replace(OUTGOING, reply_to=Mailbox("a@example.com", value)),
        lambda value: with_headers(("X-Tag", value)),
        lambda value: with_headers(("List-Unsubscribe", value)),
    ],
    ids=["subject", "name", "sender", "recipient", "reply_to", "extra", "verbatim"],
)
def test_characters_that_could_end_a_header_are_refused(
    spoil: Callable[[str], Outgoing], character: str
) -> None:
    with pytest.raises(HeaderInjection, match=f"U\\+{ord(character):04X} at position 2"):
        build(spoil(f"x{character}Bcc"))


@pytest.mark.parametrize(
    "message_id",
    ["", "1@example.com", "<1>", "<1@a> <2@a>", "<1@a>\r\nBcc: b@c", "<ü@example.com>"],
)
def test_malformed_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="Message-ID"):
        build(replace(OUTGOING, message_id=message_id))


def test_malformed_address_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="angle brackets"):
        build(replace(OUTGOING, recipient="ann@example.org>, <bob@example.org"))


@pytest.mark.parametrize("name", sorted(RESERVED_HEADERS))
def test_extra_header_cannot_replace_ours(name: str) -> None:
    with pytest.raises(ValueError, match="set by us or given twice"):
        build(with_headers((name.title(), "x")))


def test_extra_header_cannot_be_given_twice() -> None:
    with pytest.raises(ValueError, match="set by us or given twice"):
        build(with_headers(("X-Tag", "a"), ("x-tag", "b")))


@pytest.mark.parametrize("name", ["", "X Tag", "X:Tag", "X\r\nBcc", "X-Ü", "X" * 51])
def test_malformed_header_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header name"):
        build(with_headers((name, "x")))


@settings(max_examples=60, deadline=None)
@given(value=header_texts)
def test_every_extra_header_reads_back_the_same(value: str) -> None:
    raw = build(with_headers(("X-" + "T" * 48, value)))
    assert_wire_rules(raw)
    headers, _ = strict(raw)
    assert str(make_header(decode_header(headers["x-" + "t" * 48]))) == value


def test_list_unsubscribe_is_folded_between_its_urls_only() -> None:
    url = "<https://example.com/u/" + "t" * 90 + ">"
    raw = build(with_headers(("List-Unsubscribe", f"{url}, <mailto:u@example.com>")))
    assert f"List-Unsubscribe: {url},\r\n <mailto:u@example.com>\r\n".encode() in raw


@pytest.mark.parametrize("url", ["<https://bücher.example/u>", "<https://a/" + "t" * 1000 + ">"])
def test_list_unsubscribe_is_never_sent_encoded(url: str) -> None:
    with pytest.raises(ValueError, match="List-Unsubscribe header cannot be sent"):
        build(with_headers(("List-Unsubscribe", url)))


@pytest.mark.parametrize("field", ["text", "html"])
def test_half_a_character_in_a_body_is_refused(field: str) -> None:
    change: dict[str, Any] = {field: "abc\ud83d"}
    with pytest.raises(ValueError, match=r"U\+D83D, at position 4"):
        build(replace(OUTGOING, **change))


def look_up(name: bytes, timeout: int = 5) -> bytes:
    return RECORD.encode() if name == b"s1._domainkey.example.com." else b""


def test_signed_message_verifies() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"subject": "🎉 " * 60, "sender": Mailbox("news@example.com", "Grüße " * 20)},
        {"text": "tab\t and  blanks  \n\n\n", "html": ""},
        {"text": "Привет\n" * 30, "html": "日本 " * 300},
        {"recipient": "jürgen@example.org"},
        {
            "headers": (
                ("List-Unsubscribe", "<https://example.com/" + "t" * 90 + ">, <mailto:u@x>"),
            )
        },
    ]
    for change in changes:
        raw = build(replace(OUTGOING, dkim_key=KEY, **change))
        assert raw.startswith(b"DKIM-Signature: ")
        assert dkim.verify(raw, dnsfunc=look_up)
        assert not dkim.verify(raw.replace(b"\r\nFrom: ", b"\r\nFrom: x"), dnsfunc=look_up)


# It stands two hundred times in the template, and a rendered text has at most a million characters.
short_bodies = bodies.filter(lambda text: len(text) < 2000)
LONG_TEMPLATE = compile_source(
    "<html><body>\n"
    + "<p class=x>Dear {{.API.name}}, {{.API.name}}{{.API.city}} \n</p>\t\n" * 100
    + "{{if .API.more}}<b>{{.API.more}}</b>{{end}}</body></html>",
    target=Target.HTML,
)


@given(name=short_bodies, city=header_texts, more=st.text(max_size=3))
@example(name="x" * 76, city="y" * 151, more="")
@example(name="x" * 73 + "é", city="y" * 70 + "éé", more="")
@example(name="x" * 75 + " \n" + "é" * 12 + "xxx\t\n", city="", more="")
@settings(max_examples=60, deadline=None)
def test_a_long_filled_template_reads_back_as_it_was_rendered(
    name: str, city: str, more: str
) -> None:
    html = LONG_TEMPLATE.weave({"API": {"name": name, "city": city, "more": more}})
    raw = build(replace(OUTGOING, html=html))
    part = email.message_from_bytes(raw, policy=policy.SMTP).get_body(("html",))
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert part.get_payload(decode=True).decode() == str(html).replace("\n", "\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 76
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")


@given(name=short_bodies, text=bodies)
@example(name=".", text="Hello")
@example(name="Ann", text=".\nHello")
@settings(max_examples=60, deadline=None)
def test_what_is_called_ready_for_the_wire_has_nothing_to_stuff(name: str, text: str) -> None:
    html = LONG_TEMPLATE.weave({"API": {"name": name}})
    content = compose(replace(OUTGOING, html=html, text=text, dkim_key=KEY))
    assert body_for_wire(content) == body_for_wire(Content(content.octets))


def test_the_usual_mail_is_known_to_be_ready_for_the_wire() -> None:
    html = LONG_TEMPLATE.weave({"API": {"name": "Ann"}})
    assert compose(replace(OUTGOING, html=html)).is_wire_ready


def test_two_messages_of_one_template_share_no_values() -> None:
    shown = []
    for name in ("Ann", "Bob"):
        html = LONG_TEMPLATE.weave({"API": {"name": name}})
        read = email.message_from_bytes(build(replace(OUTGOING, html=html)), policy=policy.SMTP)
        shown.append(set(re.findall("Dear (\\w+)", read.get_body(("html",)).get_content())))
    assert shown == [{"Ann"}, {"Bob"}]


def test_a_long_template_of_few_latin_letters_is_shorter_as_base64() -> None:
    program = compile_source("<p>日本語のメール {{.API.name}}</p>" * 200, target=Target.HTML)
    raw = build(replace(OUTGOING, html=program.weave({"API": {"name": "安"}})))
    assert b"Content-Transfer-Encoding: base64" in raw
