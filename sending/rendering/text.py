"""Derive the text part of a mail from its HTML, on the templates, before any value is known.

Actions are masked while inscriptis lays the text out, and put back unchanged. Table cells are not
laid out side by side: tables in mails are frames, and lines of one cell must not end up inside a
block of another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape

from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_document_state import HtmlDocumentState
from inscriptis.model.html_element import HtmlElement
from inscriptis.model.tag import CustomHtmlTagHandlerMapping

from sending.errors import TemplateSyntaxError
from sending.rendering.masking import Masked, mask
from sending.rendering.parser import parse

_HIDING = re.compile(r"(?:display:none|visibility:hidden|max-height:0|opacity:0)(?:px)?(?![\w.])")
_UNSHOWN_LINK = re.compile(r"\s*(?:#|javascript:|$)", re.IGNORECASE)
_MAIL_OR_TELEPHONE = re.compile(r"\s*(?:mailto|tel):", re.IGNORECASE)
_UNSHOWN_ELEMENT = re.compile(r"<(script|style)(?=[\s/>])", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_BLANK_BEFORE_LINE_END = re.compile(r"[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")


def text_from_html(source: str) -> str:
    """Return a text template that says what an HTML template says.

    Links become ``label (url)``, or the URL alone if the label says no more. Styles, scripts,
    comments and hidden elements are left out, with the blocks of actions that stand in them.
    The result compiles; if the markup and the blocks of an odd template are so entangled that
    it would not, the layout is dropped, and at last the actions. Raises TemplateSyntaxError
    for a source that does not compile itself.
    """
    parse(source)
    masked = mask(source)
    for derive in (_laid_out, _stripped):
        text = masked.restored(_tidy(derive(masked)))
        if text and _compiles(text):
            return text
    return masked.without_actions(_tidy(_stripped(masked)))


def _compiles(text: str) -> bool:
    try:
        parse(text)
    except TemplateSyntaxError:
        return False
    return True


def _laid_out(masked: Masked) -> str:
    layout = _Layout(masked)
    return layout.with_links(get_text(_without_comments(masked.html), layout.config()))


def _stripped(masked: Masked) -> str:
    html = "".join(_without_unshown_elements(_without_comments(masked.html)))
    return unescape(_TAG.sub("\n", html))


def _tidy(text: str) -> str:
    text = _BLANK_BEFORE_LINE_END.sub("", text.replace("\xa0", " "))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _without_comments(html: str) -> str:
    parts: list[str] = []
    position = 0
    while (start := html.find("<!--", position)) >= 0:
        end = html.find("-->", start + 2)  # <!--> is a whole comment
        if end < 0:
            return "".join((*parts, html[position:start]))
        parts.append(html[position:start])
        position = end + 3
    return "".join((*parts, html[position:]))


def _without_unshown_elements(html: str) -> Iterator[str]:
    position = 0
    while match := _UNSHOWN_ELEMENT.search(html, position):
        yield html[position : match.start()]
        end = re.compile(f"</{match[1]}", re.IGNORECASE).search(html, match.end())
        if end is None:
            return
        position = end.start()
    yield html[position:]


class _Layout:
    """How inscriptis is to lay one mail out."""

    def __init__(self, masked: Masked) -> None:
        self._masked = masked
        self._action = masked.marks[0]
        self._opening, self._middle, self._closing = (
            masked.marks[1],
            masked.marks[2],
            masked.marks[3],
        )
        self._target = ""

    def with_links(self, text: str) -> str:
        """Write the links that were marked."""
        other = f"[^{self._opening}{self._middle}{self._closing}]*"
        pattern = f"{self._opening}({other}){self._middle}({other}){self._closing}"
        return re.sub(pattern, self._link, text)

    def _link(self, match: re.Match[str]) -> str:
        label, url = match[1], match[2].strip()
        address = _MAIL_OR_TELEPHONE.sub("", url)
        words = self._masked.compared(label).strip()
        if words in ("", self._masked.compared(url), self._masked.compared(address)):
            return address
        return f"{label.rstrip()} ({address})"

    def config(self) -> ParserConfig:
        """Return the configuration for one document."""
        css = {name: element.__copy__() for name, element in CSS_PROFILES["strict"].items()}
        for name in ("template", "option"):
            css[name] = HtmlElement(display=Display.none)
        css["tr"] = HtmlElement(display=Display.block)
        css["table"] = HtmlElement(display=Display.block, margin_before=1, margin_after=1)
        start: dict[str, Callable[[HtmlDocumentState, dict[str, str]], None]] = dict.fromkeys(
            ("table", "tr", "td", "th"), _start_nothing
        )
        end: dict[str, Callable[[HtmlDocumentState], None]] = {
            "table": _end_nothing,
            "td": _end_cell,
            "th": _end_cell,
            "a": self._end_link,
        }
        handlers = CustomHtmlTagHandlerMapping(
            start | {"a": self._start_link, "img": _start_image}, end
        )
        config = ParserConfig(css=css, custom_html_tag_handler_mapping=handlers)
        config.attribute_handler.attribute_mapping = {"style": self._hide, "hidden": _hide_always}
        return config

    def _hide(self, style: str, element: HtmlElement) -> None:
        if self._action not in style and _HIDING.search("".join(style.lower().split())):
            element.display = Display.none

    def _start_link(self, state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
        self._target = attributes.get("href", "")
        if _UNSHOWN_LINK.match(self._target):
            self._target = ""
        if self._target:
            state.tags[-1].write(self._opening)

    def _end_link(self, state: HtmlDocumentState) -> None:
        if self._target:
            state.tags[-1].write(f"{self._middle}{self._target}{self._closing}")
        self._target = ""


def _start_image(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    state.tags[-1].write(attributes.get("alt", ""))


def _start_nothing(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    pass


def _end_nothing(state: HtmlDocumentState) -> None:
    pass


def _end_cell(state: HtmlDocumentState) -> None:
    state.tags[-1].write(" ")


def _hide_always(_: str, element: HtmlElement) -> None:
    element.display = Display.none
