"""Read what a request to send says, and refuse what cannot be accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from apikeys.models import ApiKey
from apikeys.recent import Recent
from sending import screening, senders
from sending.addresses import Address, InvalidAddress, parse_address
from sending.commands.marks import UNMARKED, Marks, read_marks
from sending.errors import (
    InvalidAttribs,
    InvalidRecipient,
    InvalidSwitch,
    MissingVariable,
    NotConfigured,
    SendingError,
    TemplateUnavailable,
)
from sending.ledger import Intake
from sending.models import (
    Priority,
    Route,
    SendingProfile,
    TemplateVersion,
    new_id_in,
    new_message_id,
)
from sending.outgoing import Mailbox
from sending.rendering import Target, compile_source
from sending.routes import default_route, own_route, route_of

MAX_RECIPIENTS = 10_000
MAX_ATTRIBS = 100
MAX_ATTRIB_LENGTH = 8 * 1024
MAX_BATCH_ATTRIBS = 64 * 1024 * 1024
NO_SINGLE_ADDRESS = "The recipient must be one address, given as a string."


@dataclass(frozen=True, slots=True)
class Rejection:
    """A recipient of a batch that was not accepted, as it was given, and why."""

    recipient: str
    code: int
    msg: str


def profile_of(key: ApiKey) -> SendingProfile:
    """Return what the key sends; raise TemplateUnavailable when that is nothing."""
    profile = _profiles.get(key.pk)
    template = profile.template if profile else None
    if profile is None or template is None or template.current_version is None:
        raise TemplateUnavailable(
            "Template does not exist: this API key has no template. Choose one in the dashboard."
        )
    if not template.is_active:
        raise TemplateUnavailable(
            f"Template does not exist: {template.name} is disabled. Enable it in the dashboard."
        )
    return profile


def _load_profile(key_id: UUID) -> SendingProfile | None:
    profiles = SendingProfile.objects.select_related("template__current_version", "route")
    return profiles.prefetch_related("sender_domains").filter(pk=key_id).first()


_profiles: Recent[UUID, SendingProfile] = Recent(_load_profile)
_default_routes: Recent[None, Route] = Recent(lambda _: default_route())


@dataclass(frozen=True, slots=True)
class Request:
    """What all messages of one call have in common, checked."""

    profile: SendingProfile
    version: TemplateVersion
    subject: str
    sender: Mailbox
    attribs: Mapping[str, Any]
    track_opens: bool = False
    track_clicks: bool = False
    marks: Marks = UNMARKED

    def intake(
        self,
        recipients: Iterable[Address],
        *,
        priority: Priority,
        batch_id: UUID | None = None,
    ) -> Intake:
        """Return new messages, one for each of the recipients; with `batch_id`, as that batch."""
        new_id = new_message_id if batch_id is None else partial(new_id_in, batch_id)
        return Intake(
            api_key_id=self.profile.pk,
            template_version_id=self.version.pk,
            stream=self.profile.stream,
            sender_address=self.sender.address,
            sender_name=self.sender.name,
            reply_to=self.profile.reply_to,
            subject=self.subject,
            attribs=self.attribs,
            has_unsubscribe_link=self.profile.has_unsubscribe_link,
            track_opens=self.track_opens,
            track_clicks=self.track_clicks,
            message_id_domain=self.sender.address.rpartition("@")[2],
            priority=priority,
            recipients={new_id(): address for address in recipients},
            batch_id=batch_id,
            variant=self.marks.variant,
            tags=self.marks.tags,
            despite=despite_of(self.profile),
        )


def despite_of(profile: SendingProfile) -> frozenset[str]:
    """Return the reasons of standing orders that do not stop what a key sends."""
    return screening.passed_over(profile.stream, heeds_unsubscribes=profile.heeds_unsubscribes)


def check_request(
    profile: SendingProfile,
    *,
    addresser: Any,
    attribs: Any,
    version: TemplateVersion | None = None,
    track_opens: Any = None,
    track_clicks: Any = None,
    tags: Any = None,
    variant: Any = None,
) -> Request:
    """Return what is to be sent, all but the recipient; raise a SendingError.

    `version`: this wording, with its own subject, instead of what the key sends. `track_opens`
    and `track_clicks`: None for what the key says. `tags` and `variant`: None for none.
    """
    wording, subject = (version, "") if version else _own_wording(profile)
    sender = senders.sender_for(profile, addresser)
    checked = check_attribs(attribs)
    opens = switch("track_opens", track_opens, otherwise=profile.track_opens)
    clicks = switch("track_clicks", track_clicks, otherwise=profile.track_clicks)
    marks = read_marks(tags=tags, variant=variant)
    if profile.is_strict:
        _require_variables(wording, subject, checked)
    if not _has_route(profile):
        raise NotConfigured(
            "Sending failed: no route out is active; nothing was accepted. "
            "Add a default route in the dashboard, or enable it."
        )
    return Request(profile, wording, subject, sender, checked, opens, clicks, marks)


def switch(name: str, given: Any, *, otherwise: bool) -> bool:
    """Return a field that is true, false or left out; raise InvalidSwitch."""
    if given is None:
        return otherwise
    if not isinstance(given, bool):
        raise InvalidSwitch(name)
    return given


def _has_route(profile: SendingProfile) -> bool:
    """Tell whether there is a way out; further routes are looked up only without the usual two."""
    usual = own_route(profile) or _default_routes.get(None)
    return usual is not None or route_of(profile) is not None


def without_content(profile: SendingProfile) -> Request:
    """Return the request of which only the recipient is of interest, because it is refused."""
    return Request(profile, *_own_wording(profile), Mailbox("@suppressed.invalid"), {})


def _own_wording(profile: SendingProfile) -> tuple[TemplateVersion, str]:
    """Return what the key sends; `profile_of` has made sure that there is something."""
    return profile.template.current_version, profile.subject  # type: ignore[union-attr,return-value]


def read_recipient(given: Any) -> Address:
    """Return the one address; raise InvalidRecipient."""
    if not isinstance(given, str) or not given.strip():
        raise InvalidRecipient(f"Invalid recipient: {NO_SINGLE_ADDRESS}")
    try:
        return parse_address(given)
    except InvalidAddress as error:
        raise InvalidRecipient(f"Invalid recipient: {error}") from None


def read_recipients(given: Any) -> tuple[dict[str, Address], list[Rejection]]:
    """Return the addresses, each once, by their suppression key, and what is none.

    Raises InvalidRecipient when it is not a list, or too long.
    """
    if not isinstance(given, list):
        raise InvalidRecipient("Invalid recipient: recipients must be a list of addresses.")
    if len(given) > MAX_RECIPIENTS:
        raise InvalidRecipient(
            f"Invalid recipient: {len(given)} recipients in one call; {MAX_RECIPIENTS} are allowed."
        )
    addresses: dict[str, Address] = {}
    rejected = []
    for one in given:
        try:
            address = read_recipient(one)
        except InvalidRecipient as error:
            shown = one if isinstance(one, str) else repr(one)
            rejected.append(Rejection(shown[:320], error.code, str(error)))
        else:
            addresses.setdefault(address.suppression_key, address)
    return addresses, rejected


def nothing_left(rejected: Sequence[Rejection]) -> str:
    """Say why a batch has nobody to send to."""
    if not rejected:
        return "Invalid recipient: recipients is empty."
    return f"Invalid recipient: none of the {len(rejected)} is valid. First: {rejected[0].msg}"


def check_attribs(attribs: Any) -> dict[str, Any]:
    """Return the template variables; raise InvalidAttribs unless they are an object of scalars."""
    if attribs is None:
        return {}
    if not isinstance(attribs, dict):
        raise InvalidAttribs('Sending failed: attribs must be an object, as in {"name": "Ann"}.')
    if len(attribs) > MAX_ATTRIBS:
        raise InvalidAttribs(
            f"Sending failed: attribs has {len(attribs)} variables; {MAX_ATTRIBS} are allowed."
        )
    for name, value in attribs.items():
        _check_attrib(name, value)
    return attribs


def check_total(attribs: Mapping[str, Any], *, recipients: int) -> None:
    """Refuse a batch that would store the same long attribs again and again."""
    total = recipients * sum(len(name) + len(str(value)) for name, value in attribs.items())
    if total > MAX_BATCH_ATTRIBS:
        raise InvalidAttribs(
            f"Sending failed: attribs for {recipients} recipients are {total} characters; "
            f"{MAX_BATCH_ATTRIBS} are allowed. Send fewer recipients in one call."
        )


def _check_attrib(name: str, value: Any) -> None:
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise InvalidAttribs(
            f"Sending failed: attribs.{name[:80]} must be a text, a number, true, false or null."
        )
    if max(len(name), len(value) if isinstance(value, str) else 0) > MAX_ATTRIB_LENGTH:
        raise InvalidAttribs(
            f"Sending failed: attribs.{name[:80]} is longer than {MAX_ATTRIB_LENGTH} characters."
        )


def _require_variables(version: TemplateVersion, subject: str, attribs: Mapping[str, Any]) -> None:
    """Render once without sending: only that tells which variables this request really needs."""
    values = {"API": attribs, "Subscriber": {"Email": ""}, "Task": {}, "UnsubscribeURL": ""}
    sources = (
        (subject or version.subject, Target.SUBJECT),
        (version.html, Target.HTML),
        (version.text, Target.TEXT),
    )
    for source, target in sources:
        try:
            compile_source(source, target=target).render(values, strict=True)
        except MissingVariable as error:
            raise InvalidAttribs(f"Sending failed: {error}") from None
        except SendingError as error:
            raise InvalidAttribs(f"Sending failed: the template cannot be used: {error}") from None
