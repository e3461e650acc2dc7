"""Create templates, give them new versions, and show what a version looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from sending.delivery.assembly import assemble
from sending.errors import TemplateSyntaxError
from sending.models import Message, Template, TemplateVersion
from sending.rendering import Target, compile_source

SAMPLE_RECIPIENT = "ann@example.com"
SAMPLE_SENDER = "sender@example.com"
# What stands in a preview for a variable whose name has this word in it; the first match counts.
SAMPLES: tuple[tuple[str, Any], ...] = (
    ("email", SAMPLE_RECIPIENT),
    ("url", "https://example.com/"),
    ("link", "https://example.com/"),
    ("image", "https://example.com/picture.png"),
    ("first", "Ann"),
    ("last", "Example"),
    ("company", "Example Ltd"),
    ("name", "Ann Example"),
    ("code", "482913"),
    ("token", "482913"),
    ("date", "1 May 2030"),
    ("time", "10:30"),
    ("price", "42.00"),
    ("total", "42.00"),
    ("amount", "42.00"),
    ("count", 3),
    ("quantity", 3),
    ("number", 1042),
    ("id", 1042),
)


@dataclass(frozen=True, slots=True)
class Preview:
    """A version as a recipient would get it; `html` is empty for a mail of text alone."""

    subject: str
    html: str
    text: str


def create_template(
    *, name: str, slug: str, subject: str, html: str, text: str, by: AbstractBaseUser | None
) -> Template:
    """Store a new template with its first version and return it.

    Raises ValidationError, by field, with a text for the person who asked.
    """
    check_sources(subject=subject, html=html, text=text)
    template = Template(name=name, slug=slug)
    template.full_clean()
    with transaction.atomic():
        template.save(force_insert=True)
        save_version(template=template, subject=subject, html=html, text=text, by=by)
    return template


def save_version(
    *, template: Template, subject: str, html: str, text: str, by: AbstractBaseUser | None
) -> TemplateVersion:
    """Make this wording the current version of the template and return that.

    A wording that is the current one already makes no new version. Raises ValidationError, by
    field, with the line and column of what is wrong. Two people who save at once get one version
    each; the later one becomes the current.
    """
    check_sources(subject=subject, html=html, text=text)
    with transaction.atomic():
        # The lock makes two savers follow one another: each sees the numbers of the other.
        locked = Template.objects.select_for_update().get(pk=template.pk)
        current = locked.current_version
        if current is None or (current.subject, current.html, current.text) != (
            subject,
            html,
            text,
        ):
            newest = locked.versions.order_by("-number").first()
            current = locked.versions.create(
                number=newest.number + 1 if newest else 1,
                subject=subject,
                html=html,
                text=text,
                created_by_id=by.pk if by else None,
            )
            locked.current_version = current
            locked.save(update_fields=["current_version"])
    template.current_version = current
    return current


def check_sources(*, subject: str, html: str, text: str) -> None:
    """Raise ValidationError, by field, unless all three compile and there is a body."""
    errors: dict[str, str] = {}
    for field, source, target in (
        ("subject", subject, Target.SUBJECT),
        ("html", html, Target.HTML),
        ("text", text, Target.TEXT),
    ):
        try:
            compile_source(source, target=target)
        except TemplateSyntaxError as error:
            errors[field] = str(error)
    if not subject.strip():
        errors["subject"] = "Give a subject: a mail without one is taken for spam."
    if not html.strip() and not text.strip():
        errors["html"] = "Give an HTML part, a text part, or both."
    if errors:
        raise ValidationError(errors)


def sample_values(version: TemplateVersion) -> dict[str, Any]:
    """Return attribs that give every variable of the version a plausible value."""
    names = set()
    for source, target in (
        (version.subject, Target.SUBJECT),
        (version.html, Target.HTML),
        (version.text, Target.TEXT),
    ):
        for variable in compile_source(source, target=target).variables:
            root, _, path = variable.partition(".")
            if root == "API" and path:
                names.add(path.partition(".")[0])
    return {name: _sample(name) for name in sorted(names)}


def preview(
    *, version: TemplateVersion, attribs: Mapping[str, Any], has_unsubscribe_link: bool = False
) -> Preview:
    """Return the mail that a recipient with these attribs would get, made the way all mail is.

    Raises RenderingError when no mail can be made.
    """
    now = timezone.now()
    message = Message(
        template_version=version,
        recipient=SAMPLE_RECIPIENT,
        sender_address=SAMPLE_SENDER,
        attribs=dict(attribs),
        has_unsubscribe_link=has_unsubscribe_link,
        accepted_at=now,
    )
    outgoing = assemble(message, domain=None)
    return Preview(outgoing.subject, str(outgoing.html), outgoing.text)


def _sample(name: str) -> Any:
    lowered = name.lower()
    for word, value in SAMPLES:
        if word in lowered:
            return value
    return name.replace("_", " ").replace("-", " ")
