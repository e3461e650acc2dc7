"""Write what each provider posts, in the shapes that django-anymail documents, signed as they do.

Each provider is a function that takes the message, the kind of event and the second at which it
happened, and returns the body and the header fields of the post.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sending.models import Message

BASIC = "billionmail:" + "w" * 32
AUTHORIZED = {"Authorization": "Basic " + base64.b64encode(BASIC.encode()).decode()}
MAILGUN_KEY = "mailgun-key-" + "k" * 20
RESEND_SECRET = "whsec_" + base64.b64encode(b"r" * 32).decode()
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
POSTAL_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KINDS = ("delivered", "bounced", "complained", "opened", "clicked")
REPLY = "550 5.1.1 No such user"
EPOCH = 1_784_020_320
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LINK = "https://shop.example/orders/1042"
Post = tuple[bytes, dict[str, str]]


def public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """Return a public key as the settings want it: the PEM without its frame."""
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "".join(pem.decode().splitlines()[1:-1])


SETTINGS = {
    "WEBHOOK_SECRET": [BASIC],
    "MAILGUN_WEBHOOK_SIGNING_KEY": MAILGUN_KEY,
    "RESEND_SIGNING_SECRET": RESEND_SECRET,
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": public(SENDGRID_KEY),
    "POSTAL_WEBHOOK_KEY": public(POSTAL_KEY),
}


def _iso(second: int) -> str:
    return datetime.fromtimestamp(EPOCH + second, UTC).isoformat().replace("+00:00", ".000Z")


def _metadata(message: Message) -> dict[str, str]:
    return {"message_id": str(message.id)}


def amazon_ses(message: Message, kind: str, second: int) -> Post:
    to = message.recipient
    types: dict[str, tuple[str, dict[str, Any]]] = {
        "delivered": ("Delivery", {"recipients": [to], "smtpResponse": "250 2.6.0 Accepted"}),
        "bounced": (
            "Bounce",
            {
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [
                    {
                        "emailAddress": to,
                        "action": "failed",
                        "status": "5.1.1",
                        "diagnosticCode": f"smtp; {REPLY}",
                    }
                ],
            },
        ),
        "complained": (
            "Complaint",
            {"complainedRecipients": [{"emailAddress": to}], "complaintFeedbackType": "abuse"},
        ),
        "opened": ("Open", {"ipAddress": "192.0.2.44", "userAgent": AGENT}),
        "clicked": ("Click", {"ipAddress": "192.0.2.44", "userAgent": AGENT, "link": LINK}),
    }
    name, details = types[kind]
    headers = [{"name": "X-Metadata", "value": json.dumps(_metadata(message))}]
    event = {
        "eventType": name,
        "mail": {"messageId": "ses-1", "destination": [to], "headers": headers},
        name.lower(): details,
    }
    identifier = f"sns-{second}"
    body = {
        "Type": "Notification",
        "MessageId": identifier,
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:events",
        "Message": json.dumps(event),
        "Timestamp": _iso(second),
    }
    head = {"X-Amz-Sns-Message-Type": "Notification", "X-Amz-Sns-Message-Id": identifier}
    return json.dumps(body).encode(), AUTHORIZED | head


def sendgrid(message: Message, kind: str, second: int) -> Post:
    types = {
        "delivered": {"event": "delivered", "response": "250 OK"},
        "bounced": {"event": "bounce", "reason": REPLY, "status": "5.1.1", "type": "bounce"},
        "complained": {"event": "spamreport"},
        "opened": {"event": "open", "useragent": AGENT},
        "clicked": {"event": "click", "useragent": AGENT, "url": LINK},
    }
    event = {
        "email": message.recipient,
        "timestamp": EPOCH + second,
        "smtp-id": "<x@geopod>",
        # It changes with each repetition.
        "sg_event_id": base64.b64encode(datetime.now(UTC).isoformat().encode()).decode(),
        **_metadata(message),
        **types[kind],
    }
    body = json.dumps([event]).encode()
    signature = SENDGRID_KEY.sign(b"1784020320" + body, ec.ECDSA(hashes.SHA256()))
    return body, AUTHORIZED | {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": "1784020320",
    }


def mailgun(message: Message, kind: str, second: int) -> Post:
    types: dict[str, dict[str, Any]] = {
        "delivered": {"event": "delivered", "delivery-status": {"code": 250, "message": "OK"}},
        "bounced": {
            "event": "failed",
            "severity": "permanent",
            "reason": "bounce",
            "delivery-status": {"code": 550, "message": REPLY, "description": ""},
        },
        "complained": {"event": "complained"},
        "opened": {"event": "opened", "client-info": {"user-agent": AGENT}},
        "clicked": {"event": "clicked", "url": LINK, "client-info": {"user-agent": AGENT}},
    }
    token = hashlib.sha256(f"{kind}{second}".encode()).hexdigest()
    digest = hmac.new(MAILGUN_KEY.encode(), f"{EPOCH}{token}".encode(), "sha256").hexdigest()
    body = {
        "signature": {"timestamp": str(EPOCH), "token": token, "signature": digest},
        "event-data": {
            "timestamp": EPOCH + second + 0.25,
            "recipient": message.recipient,
            "message": {"headers": {"message-id": message.message_id.strip("<>")}},
            "user-variables": _metadata(message),
            **types[kind],
        },
    }
    return json.dumps(body).encode(), AUTHORIZED


def postmark(message: Message, kind: str, second: int) -> Post:
    at = _iso(second)
    types: dict[str, dict[str, Any]] = {
        "delivered": {"RecordType": "Delivery", "DeliveredAt": at, "Details": "250 OK"},
        "bounced": {
            "RecordType": "Bounce",
            "ID": second,
            "Type": "HardBounce",
            "Description": "The server was unable to deliver your message (unknown user).",
            "Details": f"smtp;{REPLY}",
            "BouncedAt": at,
        },
        "complained": {
            "RecordType": "SpamComplaint",
            "ID": second,
            "Type": "SpamComplaint",
            "BouncedAt": at,
        },
        "opened": {"RecordType": "Open", "ReceivedAt": at, "UserAgent": AGENT},
        "clicked": {
            "RecordType": "Click",
            "ReceivedAt": at,
            "UserAgent": AGENT,
            "OriginalLink": LINK,
        },
    }
    whom = "Email" if kind in ("bounced", "complained") else "Recipient"
    common = {"MessageID": "pm-1", "Metadata": _metadata(message), whom: message.recipient}
    return json.dumps(common | types[kind]).encode(), AUTHORIZED


def brevo(message: Message, kind: str, second: int) -> Post:
    types = {
        "delivered": {"event": "delivered"},
        "bounced": {"event": "hard_bounce", "reason": REPLY},
        "complained": {"event": "complaint"},
        "opened": {"event": "unique_opened"},
        "clicked": {"event": "click", "link": LINK},
    }
    common = {
        "email": message.recipient,
        "message-id": "<br-1@smtp-relay.example>",
        "ts_epoch": (EPOCH + second) * 1000,
        "X-Mailin-custom": json.dumps(_metadata(message)),
    }
    return json.dumps(common | types[kind]).encode(), AUTHORIZED


def mailjet(message: Message, kind: str, second: int) -> Post:
    types: dict[str, dict[str, Any]] = {
        "delivered": {"event": "sent", "smtp_reply": "250 OK"},
        "bounced": {"event": "bounce", "hard_bounce": True, "error": "user unknown"},
        "complained": {"event": "spam", "source": "JMRPP"},
        "opened": {"event": "open", "agent": AGENT},
        "clicked": {"event": "click", "agent": AGENT, "url": LINK},
    }
    common = {
        "time": EPOCH + second,
        "MessageID": 19421777835146490,
        "email": message.recipient,
        "Payload": json.dumps(_metadata(message)),
    }
    return json.dumps([common | types[kind]]).encode(), AUTHORIZED


def sparkpost(message: Message, kind: str, second: int) -> Post:
    types: dict[str, tuple[str, dict[str, Any]]] = {
        "delivered": ("message_event", {"type": "delivery"}),
        "bounced": (
            "message_event",
            {"type": "bounce", "bounce_class": "10", "raw_reason": REPLY, "error_code": "550"},
        ),
        "complained": ("message_event", {"type": "spam_complaint", "fbtype": "abuse"}),
        "opened": ("track_event", {"type": "open", "user_agent": AGENT}),
        "clicked": ("track_event", {"type": "click", "user_agent": AGENT, "target_link_url": LINK}),
    }
    name, details = types[kind]
    event = {
        "event_id": f"sp-{kind}-{second}",
        "timestamp": str(EPOCH + second),
        "transmission_id": "sp-1",
        "raw_rcpt_to": message.recipient,
        "rcpt_meta": _metadata(message),
        **details,
    }
    return json.dumps([{"msys": {name: event}}]).encode(), AUTHORIZED


def resend(message: Message, kind: str, second: int) -> Post:
    details: dict[str, dict[str, Any]] = {
        "bounced": {
            "bounce": {
                "message": "The recipient's email provider sent a hard bounce message, but didn't "
                "specify the reason for the hard bounce."
            }
        },
        "clicked": {"click": {"link": LINK, "userAgent": AGENT, "ipAddress": "192.0.2.44"}},
    }
    event = {
        "type": f"email.{kind}",
        "created_at": _iso(second),
        "data": {
            "email_id": "re-1",
            "to": [message.recipient],
            "headers": [{"name": "X-Metadata", "value": json.dumps(_metadata(message))}],
            **details.get(kind, {}),
        },
    }
    body, identifier = json.dumps(event).encode(), f"msg_{kind}{second}"
    signed = f"{identifier}.{EPOCH}.".encode() + body
    digest = hmac.digest(base64.b64decode(RESEND_SECRET.removeprefix("whsec_")), signed, "sha256")
    return body, AUTHORIZED | {
        "svix-id": identifier,
        "svix-timestamp": str(EPOCH),
        "svix-signature": "v1,AAAA v1," + base64.b64encode(digest).decode(),
    }


def postal(message: Message, kind: str, second: int) -> Post:
    """Return its post; it knows neither metadata nor complaints nor opens."""
    about = {"id": 4711, "direction": "outgoing", "to": message.recipient, "tag": "x"}
    payloads: dict[str, dict[str, Any]] = {
        "delivered": {"status": "Sent", "output": "250 OK", "message": about},
        "bounced": {"status": "HardFail", "output": REPLY, "message": about},
        "clicked": {"url": LINK, "user_agent": AGENT, "message": about},
    }
    event = {"uuid": f"po-{kind}", "timestamp": EPOCH + second, "payload": payloads[kind]}
    body = json.dumps(event).encode()
    signature = POSTAL_KEY.sign(body, padding.PKCS1v15(), hashes.SHA1())
    return body, AUTHORIZED | {"X-Postal-Signature": base64.b64encode(signature).decode()}


PROVIDERS: dict[str, Callable[[Message, str, int], Post]] = {
    "amazon_ses": amazon_ses,
    "brevo": brevo,
    "mailgun": mailgun,
    "mailjet": mailjet,
    "postmark": postmark,
    "resend": resend,
    "sendgrid": sendgrid,
    "sparkpost": sparkpost,
}
