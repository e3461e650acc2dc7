"""Word the mail that every contender sends: 10 kB of HTML with personal values and ten links."""

from __future__ import annotations

from collections.abc import Mapping

HTML_BYTES = 10_240
LINKS = 10
VALUES = {"name": "Ann", "city": "Lisbon", "code": "4711"}
# How our templates, and Django's, name a recipient's own values.
OUR_PLACES = {
    "name": "{{.API.name}}",
    "city": "{{.API.city}}",
    "code": "{{.API.code}}",
    "email": "{{.Subscriber.Email}}",
}
DJANGO_PLACES = {name: "{{ %s }}" % name for name in (*VALUES, "email")}  # noqa: UP031 - braces

_PARAGRAPH = (
    '<p style="font-size:16px;line-height:1.5">Dear {name} of {city}, this is a paragraph of the'
    " size that people write, and it goes on for a while. "
    '<a href="https://shop.example/offer/{number}?code={code}">See what we kept for {email}</a></p>'
)
_FILLER = (
    '<p style="margin:0 0 16px">Some of the text is the same for everybody: how it is made, who'
    " makes it, what it costs – 49,90 € – and why it lasts.</p>"
)


def subject(places: Mapping[str, str]) -> str:
    """Return the subject, personal too."""
    return f"An offer for {places['name']}"


def html(places: Mapping[str, str]) -> str:
    """Return the HTML body with these placeholders in it."""
    lines = [_PARAGRAPH.format(number=number, **places) for number in range(LINKS)]
    lines = ["<html><body>", *lines, "</body></html>", ""]
    room = HTML_BYTES - len("\n".join(lines).encode())
    lines[-2:-2] = [_FILLER] * (room // len(f"{_FILLER}\n".encode()))
    return "\n".join(lines)


def text(places: Mapping[str, str]) -> str:
    """Return the plain text body."""
    return f"Dear {places['name']}, see https://shop.example/offer/0?code={places['code']}\n"
