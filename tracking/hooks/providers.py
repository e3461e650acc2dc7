"""Answer the webhooks of providers: anymail checks and normalises what they tell."""

from __future__ import annotations

import base64
import hmac
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.webhooks.amazon_ses import AmazonSESBaseWebhookView, AmazonSESTrackingWebhookView
from anymail.webhooks.brevo import BrevoTrackingWebhookView
from anymail.webhooks.mailersend import MailerSendTrackingWebhookView
from anymail.webhooks.mailgun import MailgunTrackingWebhookView
from anymail.webhooks.mailjet import MailjetTrackingWebhookView
from anymail.webhooks.mailtrap import MailtrapTrackingWebhookView
from anymail.webhooks.mandrill import MandrillCombinedWebhookView
from anymail.webhooks.postal import PostalTrackingWebhookView
from anymail.webhooks.postmark import PostmarkTrackingWebhookView
from anymail.webhooks.resend import ResendTrackingWebhookView, SvixWebhookValidationMixin
from anymail.webhooks.sendgrid import SendGridTrackingWebhookView
from anymail.webhooks.sparkpost import SparkPostTrackingWebhookView
from anymail.webhooks.unisender_go import UnisenderGoTrackingWebhookView
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from tracking import outcomes
from tracking.receivers import collecting
from tracking.webhook_protection import why_unprotected

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 5
_SNS_HOST = re.compile(r"sns\.[a-z]{2}(-[a-z]+)+-\d\.amazonaws\.com(\.cn)?")


class SesWebhookView(AmazonSESTrackingWebhookView):
    """Amazon's webhook without its SDK, which anymail needs only to confirm a subscription."""

    basic_auth: Any = None

    def __init__(self, **kwargs: Any) -> None:
        # Past the parent, which would ask for the SDK.
        super(AmazonSESBaseWebhookView, self).__init__(**kwargs)

    def auto_confirm_sns_subscription(self, sns_message: dict[str, Any]) -> None:
        """Confirm a subscription that knows our secret, at Amazon and nowhere else."""
        address = str(sns_message.get("SubscribeURL", ""))
        parts = urlsplit(address)
        query = parse_qs(parts.query)
        is_amazon = (
            parts.scheme == "https"
            and _SNS_HOST.fullmatch(parts.netloc) is not None
            and query.get("Action") == ["ConfirmSubscription"]
            and query.get("TopicArn") == [str(sns_message.get("TopicArn"))]
        )
        if not is_amazon:
            raise AnymailWebhookValidationFailure(
                f"The SubscribeURL {address!r} is not one of Amazon SNS for this topic."
            )
        answer = requests.get(address, timeout=CONFIRM_SECONDS, allow_redirects=False, stream=True)
        answer.close()
        answer.raise_for_status()
        log.warning("Confirmed the SNS subscription of %s", sns_message.get("TopicArn"))


class ResendWebhookView(ResendTrackingWebhookView):
    """Resend's webhook without the SDK of its signatures, which are a plain HMAC."""

    signing_secret: str | None = None
    basic_auth: Any = None

    def __init__(self, **kwargs: Any) -> None:
        self._svix_webhook = None
        self.signing_secret = settings.ANYMAIL.get("RESEND_SIGNING_SECRET")
        self.warn_if_no_basic_auth = not self.signing_secret
        # Past the mixin, which would ask for the SDK.
        super(SvixWebhookValidationMixin, self).__init__(**kwargs)

    def validate_request(self, request: HttpRequest) -> None:
        """Check the signature: any of those given, under our one secret (Standard Webhooks).

        The age is not looked at: a repeated event is written down once anyway.
        """
        if not self.signing_secret:
            return
        identifier = request.headers.get("svix-id", "")
        signed = f"{identifier}.{request.headers.get('svix-timestamp', '')}.".encode()
        key = base64.b64decode(self.signing_secret.removeprefix("whsec_"))
        digest = hmac.digest(key, signed + request.body, "sha256")
        expected = b"v1," + base64.b64encode(digest)
        given = request.headers.get("svix-signature", "").encode().split()
        if not any(hmac.compare_digest(one, expected) for one in given):
            raise AnymailWebhookValidationFailure("Resend's signature does not fit.")


_VIEWS: dict[str, Callable[..., HttpResponseBase]] = {
    "amazon_ses": SesWebhookView.as_view(),
    "brevo": BrevoTrackingWebhookView.as_view(),
    "mailersend": MailerSendTrackingWebhookView.as_view(),
    "mailgun": MailgunTrackingWebhookView.as_view(),
    "mailjet": MailjetTrackingWebhookView.as_view(),
    "mailtrap": MailtrapTrackingWebhookView.as_view(),
    "mandrill": MandrillCombinedWebhookView.as_view(),
    "postal": PostalTrackingWebhookView.as_view(),
    "postmark": PostmarkTrackingWebhookView.as_view(),
    "resend": ResendWebhookView.as_view(),
    "sendgrid": SendGridTrackingWebhookView.as_view(),
    "sparkpost": SparkPostTrackingWebhookView.as_view(),
    "unisender_go": UnisenderGoTrackingWebhookView.as_view(),
}


# The provider posts without a cookie; its signature or our secret is the permission.
@csrf_exempt
def provider_hook(request: HttpRequest, provider: str) -> HttpResponseBase:
    """Write down all events of one post, or none: the provider repeats what got no 200."""
    if provider not in settings.WEBHOOKS or provider not in _VIEWS:
        return _refusal(404, f"{provider} is not among WEBHOOKS, so its events are not taken.")
    missing = why_unprotected(provider)
    if missing:
        log.error("An event of %s was refused: %s", provider, missing)
        return _refusal(403, "This webhook is not protected; the log of the server says why.")
    try:
        with collecting() as reports:
            response = _VIEWS[provider](request)
    except AnymailWebhookValidationFailure as error:
        log.warning("A post to the webhook of %s was refused: %s", provider, error)
        return _refusal(400, "The signature or the secret is wrong.")
    except (AnymailError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Not ours to repeat for ever: what cannot be read now cannot be read later.
        log.exception("An event of %s cannot be read", provider)
        return _refusal(400, f"This is not what {provider} sends: {type(error).__name__}.")
    if reports:
        outcomes.record_reports(reports)
    return response


def _refusal(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")
