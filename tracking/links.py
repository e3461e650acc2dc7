"""Lead the links of a mail through this server, and add the picture that tells of an opening."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import blake2b
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.urls import reverse

from sending.models import Message, SenderDomain, TemplateVersion
from sending.signing import fingerprint
from sending.steps import Additions, Draft, at_end_of_body
from tracking import tokens
from tracking.models import TrackedLink
from tracking.scanner import Link, destination, find_links

log = logging.getLogger(__name__)

PIXEL = (
    '<img src="{{$.Tracking.Pixel}}" alt="" width="1" height="1" '
    'style="border:0;width:1px;height:1px">'
)
MAX_HTML = 1_000_000  # characters; a template may have little more
MAX_BRACES = 15_000

_NOTHING = Additions({})


class Tracking:
    """A MESSAGE_STEP: tracked links and the pixel, in HTML that is to have them."""

    def prepare(self, draft: Draft) -> Draft:
        """Put slots in the place of links, and before the end of the body; else change nothing."""
        if not draft.html or not settings.SIGNING_KEYS:
            return draft
        html = draft.html
        if draft.track_clicks:
            html = _with_slots(html, draft.fingerprint)
        if draft.track_opens:
            html = at_end_of_body(html, PIXEL)
        return replace(draft, html=html)

    def fill(self, message: Message, domain: SenderDomain | None) -> Additions:
        """Return where this message's links and pixel begin: one MAC, for all of them."""
        version = message.template_version
        if version is None or not (message.track_opens or message.track_clicks):
            return _NOTHING
        keys = settings.SIGNING_KEYS
        if not keys:
            return _NOTHING
        token, own = tokens.sign_message(message.id, fingerprint(version.html), key=keys[0])
        base = base_url(domain.tracking_domain if domain else "")
        link = base + _path("click") + token
        return Additions(
            {
                "Tracking": {"Link": link, "Pixel": f"{base}{_path('pixel')}{token}.gif"},
                "Tracked": partial(_tracked, link, own),
            }
        )


def base_url(tracking_domain: str) -> str:
    """Return the beginning of tracked links: PUBLIC_URL, under another name if there is one."""
    return (
        _renamed(settings.PUBLIC_URL, tracking_domain) if tracking_domain else settings.PUBLIC_URL
    )


def links_of(version: TemplateVersion) -> list[TrackedLink]:
    """Return the rows of a version's links in their order; they are made when first asked for."""
    found = [link.source for link in find_links(version.html)]
    stored = version.tracked_links.order_by("position")
    if stored.count() < len(found):
        TrackedLink.objects.bulk_create(
            [
                TrackedLink(template_version=version, position=position, url=source)
                for position, source in enumerate(found, start=1)
            ],
            ignore_conflicts=True,
        )
    return list(stored)


def _with_slots(html: str, version: bytes) -> str:
    links = find_links(html)
    if not links:
        return html
    tracked = "".join(_pieces(html, links, version))
    if len(tracked) > MAX_HTML or tracked.count("{{") > MAX_BRACES:
        log.warning(
            "A template of %s characters is too large for its links to be tracked", len(html)
        )
        return html
    return tracked


def _pieces(html: str, links: Sequence[Link], version: bytes) -> list[str]:
    pieces = []
    position = 0
    for number, link in enumerate(links, start=1):
        pieces += [html[position : link.start], _slot(number, link, version)]
        position = link.end
    return [*pieces, html[position:]]


def _slot(number: int, link: Link, version: bytes) -> str:
    if link.url is None:
        return f"{{{{tracked {number}}}}}{link.source}{{{{end}}}}"
    rest = tokens.shared_link(number, link.url, version, key=settings.SIGNING_KEYS[0])
    return "{{$.Tracking.Link}}" + rest


def _tracked(link: str, own: blake2b, number: int, rendered: str) -> str:
    """Return what stands in the place of a link whose URL has been rendered, as HTML."""
    url = destination(rendered)
    return rendered if url is None else link + tokens.own_link(number, url, own)


@lru_cache(maxsize=4)
def _path(name: str) -> str:
    """Return the path of a view up to the token; finding a URL by its name takes long."""
    return reverse(name, args=["x"]).rpartition("x")[0]


@lru_cache(maxsize=1024)
def _renamed(url: str, host: str) -> str:
    parts = urlsplit(url)
    netloc = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit(parts._replace(netloc=netloc))


add_tracking = Tracking()
