"""Answer the endpoints that callers of the original BillionMail know."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rest_framework.decorators import (
    api_view,
    authentication_classes,
    permission_classes,
    throttle_classes,
)
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.authentication import ApiKeyAuthentication
from apikeys.permissions import AddressAllowed, api_key, scope
from apikeys.throttles import KeyRateThrottle
from sending import commands

BATCH_BODY_BYTES = 2 * 1024 * 1024


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("send")])
@throttle_classes([KeyRateThrottle])
def send(request: Request) -> Response:
    """Accept one mail: ``recipient``, and if wanted ``addresser`` and ``attribs``.

    Success means that the message is stored durably; its id is in the header ``X-Message-ID``.
    """
    message_id = commands.accept_one(key=api_key(request), **_fields(request, "recipient"))
    return Response(
        _success("Email sent successfully", None), headers={"X-Message-ID": str(message_id)}
    )


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("send")])
@throttle_classes([KeyRateThrottle])
def batch_send(request: Request) -> Response:
    """Accept the same mail for up to 10,000 ``recipients``; say which were not valid."""
    receipt = commands.accept_batch(key=api_key(request), **_fields(request, "recipients"))
    queued = len(receipt.queued)
    return Response(
        _success(
            f"Batch email send request accepted, {queued} emails queued",
            {"queued": queued, "rejected": [asdict(one) for one in receipt.rejected]},
        )
    )


# Read by the parser; the function has no other place to say it.
batch_send.cls.max_body_bytes = BATCH_BODY_BYTES  # type: ignore[attr-defined]


def _fields(request: Request, whom: str) -> dict[str, Any]:
    """Return the documented fields as they came; the commands check them, others are ignored."""
    body: dict[str, Any] = dict(request.data)  # the parser gives objects only
    return {name: body.get(name) for name in (whom, "addresser", "attribs")}


def _success(msg: str, answer: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "msg": msg, "data": answer}
