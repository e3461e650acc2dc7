"""Turn a message into the outgoing that leaves: render, apply the MESSAGE_STEPS, sign."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings

from sending import return_path
from sending.errors import RenderingError
from sending.models import Message, SenderDomain, Stream, TemplateVersion
from sending.outgoing import Mailbox, Outgoing
from sending.rendering import Program, Target, compile_source, text_from_html
from sending.senders import dkim_key_of
from sending.signing import fingerprint
from sending.steps import Draft, message_steps

STREAM_HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    # RFC 3834 section 5: keeps vacation responders from answering.
    Stream.TRANSACTIONAL: (("Auto-Submitted", "auto-generated"),),
    Stream.BULK: (("Precedence", "bulk"),),
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template version ready for any number of messages."""

    subject: str
    html: Program | None
    text: Program


def assemble(message: Message, *, domain: SenderDomain | None) -> Outgoing:
    """Return the finished mail; raise RenderingError when the template cannot become one.

    The same message gives the same mail on every try, but for the Date of a DKIM signature.
    """
    version = message.template_version
    if version is None:
        raise RenderingError("The message has no template version.")
    compiled = compile_version(version, message)
    values: dict[str, Any] = {
        "API": message.attribs,
        "Subscriber": {"Email": message.recipient},
        "Task": {},
        "UnsubscribeURL": "",
    }
    headers = list(STREAM_HEADERS[message.stream])
    for step in message_steps():
        additions = step.fill(message, domain)
        values |= additions.values
        headers += additions.headers
    subject = compile_subject(message.subject or compiled.subject)
    return Outgoing(
        id=message.id,
        claim=message.claim or 0,
        envelope_sender=_envelope_sender(message, domain),
        recipient=message.recipient,
        sender=Mailbox(message.sender_address, message.sender_name),
        reply_to=Mailbox(message.reply_to) if message.reply_to else None,
        subject=subject.render(values),
        html=compiled.html.weave(values) if compiled.html else "",
        text=compiled.text.render(values),
        message_id=message.message_id,
        date=message.accepted_at,
        headers=tuple(headers),
        dkim_key=dkim_key_of(domain),
        metadata={"message_id": str(message.id)},
    )


def compile_version(version: TemplateVersion, message: Message) -> Compiled:
    """Return the compiled bodies with the slots of all steps; versions never change, so cached."""
    return _compile(
        version.subject,
        version.html,
        version.text,
        message.has_unsubscribe_link,
        message.track_opens,
        message.track_clicks,
    )


@lru_cache(maxsize=256)
def _compile(
    subject: str,
    html: str,
    text: str,
    has_unsubscribe_link: bool,
    track_opens: bool,
    track_clicks: bool,
) -> Compiled:
    text = text or text_from_html(html)
    places = any(
        compile_source(source, target=target).uses_unsubscribe_url
        for source, target in ((html, Target.HTML), (text, Target.TEXT))
        if source
    )
    draft = Draft(
        html=html,
        text=text,
        has_unsubscribe_link=has_unsubscribe_link,
        places_unsubscribe_url=places,
        track_opens=track_opens,
        track_clicks=track_clicks,
        fingerprint=fingerprint(html),
    )
    for step in message_steps():
        draft = step.prepare(draft)
    return Compiled(
        subject=subject,
        html=compile_source(draft.html, target=Target.HTML) if draft.html else None,
        text=compile_source(draft.text, target=Target.TEXT),
    )


@lru_cache(maxsize=1024)
def compile_subject(source: str) -> Program:
    """Return the compiled subject line."""
    return compile_source(source, target=Target.SUBJECT)


def _envelope_sender(message: Message, domain: SenderDomain | None) -> str:
    if domain is None or not domain.return_path_domain or not settings.SIGNING_KEYS:
        return message.sender_address
    return return_path.encode(
        message.id, domain=domain.return_path_domain, key=settings.SIGNING_KEYS[0].encode()
    )
