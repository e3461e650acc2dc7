"""Read a complaint: a recipient pressed "spam" (RFC 5965; and Microsoft's form, which has none)."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from tracking import mail

_REPORT_TYPE = "message/feedback-report"
# Feedback-Type words that mean: the recipient does not want this mail (RFC 5965 section 7.3).
_COMPLAINTS = frozenset({"abuse", "opt-out", "opt-out-list", "complaint"})
_MICROSOFT = ("X-HmXmrOriginalRecipient", "X-MS-Exchange-Organization-OriginalRecipient")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback report: `kind` is its Feedback-Type; `recipient` may be hidden by the provider."""

    kind: str
    recipient: str
    envelope_sender: str
    user_agent: str

    @property
    def is_complaint(self) -> bool:
        """Whether the recipient does not want the mail, and not, say, "this is not spam"."""
        return self.kind in _COMPLAINTS


def parse(message: Message) -> Feedback | None:
    """Return the feedback report in the mail, None when there is none."""
    for part in mail.parts(message):
        if mail.content_type(part) == _REPORT_TYPE:
            fields = _fields(mail.raw_text_of(part) or mail.text_of(part))
            if "feedback-type" in fields:
                return Feedback(
                    kind=fields["feedback-type"].lower(),
                    recipient=_recipient(fields),
                    envelope_sender=_address(fields.get("original-mail-from", "")),
                    user_agent=fields.get("user-agent", ""),
                )
    return _microsoft(message)


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and name:
            fields[name] += " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields.setdefault(name, value.strip())
    return fields


def _recipient(fields: dict[str, str]) -> str:
    for name in ("original-rcpt-to", "removal-recipient", "recipient"):
        if address := _address(fields.get(name, "")):
            return address
    return ""


def _address(value: str) -> str:
    return next(iter(mail.addresses(value)), "")


def _microsoft(message: Message) -> Feedback | None:
    """Read the form of Outlook.com's program: the mail itself, with one more header field."""
    mails = [part for part in mail.parts(message) if mail.content_type(part) == "message/rfc822"]
    for returned in (one for part in mails for one in mail.inner_of(part)):
        for name in _MICROSOFT:
            if address := _address(mail.header(returned, name)):
                return Feedback("abuse", address, "", "")
    return None
