"""Draw on a mail how much each of its links is followed; nothing of it is counted or loaded.

The address of each link is replaced by a name within the mail, which leads nowhere, and a style
sheet says by that name what the link looks like and what is written beside it. The frame of the
mail runs nothing, so that all of it has to be there beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sending import commands
from sending.commands.templates import Preview
from sending.errors import SendingError
from sending.models import TemplateVersion
from stats.admin.heat import level_of
from stats.queries import Totals
from stats.words import number, percent
from tracking.scanner import Link, find_links

# Leads to the mail itself, in its frame; a mere "#" would lead to the page around it.
NAME = "about:srcdoc#link-"
# Background and ink for each level, on the white of a mail: one hue, from light to dark.
COLORS = (
    ("#f3f4f6", "#374151"),
    ("#d6e6f4", "#08306b"),
    ("#abcfe6", "#08306b"),
    ("#6aaed6", "#041f45"),
    ("#2171b5", "#ffffff"),
    ("#08306b", "#ffffff"),
)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link with its clicks by people, and its share of those of its mail."""

    position: int
    url: str
    link_id: int | None
    totals: Totals
    share: float | None
    level: int


def link_rows(
    version: TemplateVersion, *, ids: Mapping[int, int], found: Mapping[int, Totals]
) -> list[LinkRow]:
    """Return the links of a version in their order; `ids` are those of the stored ones by place."""
    links = find_links(version.html)
    counted = [found.get(ids.get(at, 0), Totals()) for at in range(1, len(links) + 1)]
    total = sum(one.clicks for one in counted)
    most = max((one.clicks for one in counted), default=0)
    return [
        LinkRow(
            at,
            link.source,
            ids.get(at),
            counts,
            counts.clicks / total if total else None,
            level_of(counts.clicks, most=most),
        )
        for at, (link, counts) in enumerate(zip(links, counted, strict=True), start=1)
    ]


def heated(version: TemplateVersion, rows: Sequence[LinkRow]) -> Preview | str:
    """Return the mail with the heat of its links, made with sample values; else why not."""
    drawn = TemplateVersion(
        template_id=version.template_id,
        number=version.number,
        subject=version.subject,
        html=_named(version.html, find_links(version.html)),
        text=version.text,
    )
    try:
        mail = commands.preview(version=drawn, attribs=commands.sample_values(drawn))
    except (SendingError, ValueError) as error:
        return str(error)
    style = "\n".join([BASE_STYLE, *map(_style, rows)])
    return Preview(mail.subject, f"{mail.html}<style>{style}</style>", mail.text)


def _named(html: str, links: Sequence[Link]) -> str:
    pieces, at = [], 0
    for number_, link in enumerate(links, start=1):
        pieces += [html[at : link.start], f"{NAME}{number_}"]
        at = link.end
    return "".join([*pieces, html[at:]])


BASE_STYLE = f"""
[href^="{NAME}"] {{ outline: 3px solid #9ca3af !important; outline-offset: 2px; cursor: help }}
[href^="{NAME}"]::after {{ display: inline-block !important; margin: 0 0 0 6px; padding: 1px 6px;
border-radius: 4px; font: 600 12px/1.5 system-ui, sans-serif !important; letter-spacing: normal;
text-transform: none; text-decoration: none; white-space: nowrap; vertical-align: middle }}
[href^="{NAME}"]:hover::after, [href^="{NAME}"]:focus::after {{ white-space: normal;
outline: 2px solid #111827 }}
"""


def _style(row: LinkRow) -> str:
    surface, ink = COLORS[row.level]
    chosen = f'[href="{NAME}{row.position}"]'
    short = f"{row.position}: {percent(row.share) if row.share is not None else 'no clicks'}"
    exact = (
        f"{row.position}: {number(row.totals.clicks)} clicks by people, "
        f"from {number(row.totals.clicked)} messages; "
        f"{number(row.totals.machine_clicks)} by machines"
    )
    outline = "" if row.level else "outline-style: dashed !important;"
    color = f"outline-color: {surface} !important;" if row.level > 1 else ""
    return (
        f"{chosen} {{ {color} {outline} }}\n"
        f"{chosen}::after {{ background: {surface} !important; color: {ink} !important; "
        f'content: "{short}" }}\n'
        f'{chosen}:hover::after, {chosen}:focus::after {{ content: "{exact}" }}'
    )
