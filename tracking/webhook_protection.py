"""Say how each provider's webhook is protected: by its signature, or by our secret in its address.

django-anymail only warns when neither is set, and whoever finds the address could then suppress
any address. Here such a webhook is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

MIN_SECRET_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Protection:
    """The keys of ANYMAIL that make anymail check a provider's signature.

    `is_required`: anymail answers nothing without it, so our secret alone does not do.
    """

    signature_keys: tuple[str, ...] = ()
    is_required: bool = False


PROVIDERS = {
    "amazon_ses": Protection(),
    "brevo": Protection(),
    "mailersend": Protection(("MAILERSEND_SIGNING_SECRET",), is_required=True),
    "mailgun": Protection(("MAILGUN_WEBHOOK_SIGNING_KEY",), is_required=True),
    "mailjet": Protection(),
    "mailtrap": Protection(("MAILTRAP_SIGNING_SECRET",)),
    "mandrill": Protection(("MANDRILL_WEBHOOK_KEY",), is_required=True),
    "postal": Protection(("POSTAL_WEBHOOK_KEY",), is_required=True),
    "postmark": Protection(),
    "resend": Protection(("RESEND_SIGNING_SECRET",)),
    "sendgrid": Protection(("SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY",)),
    "sparkpost": Protection(),
    "unisender_go": Protection(("UNISENDER_GO_API_KEY",), is_required=True),
}


def why_unprotected(provider: str) -> str:
    """Return what is missing before the webhook of a provider may be answered; "" if nothing."""
    protection = PROVIDERS[provider]
    has_signature = any(settings.ANYMAIL.get(key) for key in protection.signature_keys)
    if has_signature:
        return ""
    if protection.is_required:
        return f"{protection.signature_keys[0]} is not set."
    secrets = settings.ANYMAIL.get("WEBHOOK_SECRET") or []
    if not secrets:
        choice = " or ".join(["WEBHOOK_SECRETS", *protection.signature_keys])
        return f"{choice} is not set."
    weak = [one for one in secrets if len(one.partition(":")[2]) < MIN_SECRET_LENGTH]
    if weak:
        return (
            "WEBHOOK_SECRETS has an entry that is not of the form user:password, or whose "
            f"password is shorter than {MIN_SECRET_LENGTH} characters."
        )
    return ""
