"""Answer the endpoints that callers of the original BillionMail know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from django.http import HttpResponse, JsonResponse
from rest_framework.decorators import (
    api_view,
    authentication_classes,
    permission_classes,
    throttle_classes,
)
from rest_framework.request import Request

from apikeys.authentication import ApiKeyAuthentication
from apikeys.permissions import AddressAllowed, api_key, scope
from apikeys.throttles import KeyRateThrottle
from sending import commands
from sending.commands import Answer, DryRun

AS_DRF_WRITES = {"separators": (",", ":"), "ensure_ascii": False}
OPTIONAL_FIELDS = ("addresser", "attribs", "track_opens", "track_clicks", "tags", "variant")
BATCH_BODY_BYTES = 2 * 1024 * 1024


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("send")])
@throttle_classes([KeyRateThrottle])
def send(request: Request) -> HttpResponse:
    """Accept one mail: ``recipient``, and if wanted the `OPTIONAL_FIELDS`.

    Success means that the message is stored durably; its id is in the header ``X-Message-ID``.
    With ``dry_run``, say what would happen.
    """
    if _is_dry_run(request):
        return _foretell(
            commands.foresee_one(key=api_key(request), **_fields(request, "recipient"))
        )

    def accept() -> Answer:
        message_id = commands.accept_one(key=api_key(request), **_fields(request, "recipient"))
        return Answer(_success("Email sent successfully", None), message_id)

    return _respond(request, accept)


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("send")])
@throttle_classes([KeyRateThrottle])
def batch_send(request: Request) -> HttpResponse:
    """Accept the same mail for up to 10,000 ``recipients``; say which were not valid.

    Takes the `OPTIONAL_FIELDS` as well. The id of the batch is in the header ``X-Batch-ID``.
    With ``dry_run``, say what would happen to each.
    """
    if _is_dry_run(request):
        return _foretell(commands.foresee(key=api_key(request), **_fields(request, "recipients")))

    def accept() -> Answer:
        receipt = commands.accept_batch(key=api_key(request), **_fields(request, "recipients"))
        queued = len(receipt.queued)
        return Answer(
            _success(
                f"Batch email send request accepted, {queued} emails queued",
                {"queued": queued, "rejected": [asdict(one) for one in receipt.rejected]},
            ),
            batch_id=receipt.batch_id,
        )

    return _respond(request, accept)


# Read by the parser; the function has no other place to say it.
batch_send.cls.max_body_bytes = BATCH_BODY_BYTES  # type: ignore[attr-defined]


def _respond(request: Request, accept: Callable[[], Answer]) -> HttpResponse:
    """Answer, and the same again to who repeats a request under its Idempotency-Key."""
    idempotency_key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if idempotency_key is None:
        answer = accept()
    else:
        answer = commands.once(
            accept,
            key=api_key(request),
            idempotency_key=idempotency_key,
            request={"path": request.path, "body": request.data},
        )
    response = _as_json(answer.body)
    if answer.message_id:
        response["X-Message-ID"] = str(answer.message_id)
    if answer.batch_id:
        response["X-Batch-ID"] = str(answer.batch_id)
    if answer.is_replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def _is_dry_run(request: Request) -> bool:
    # The parser gives objects only.
    return commands.is_dry_run(request.data.get("dry_run"))  # type: ignore[union-attr]


def _foretell(told: DryRun) -> HttpResponse:
    """Answer a dry run; nothing is kept of it, so that an Idempotency-Key stays free."""
    sent = sum(one.would_send for one in told.verdicts)
    answer = {
        "would_send": sent,
        "from": told.sender,
        "subject": told.subject,
        "verdicts": [asdict(one) for one in told.verdicts],
    }
    return _as_json(_success(f"Dry run: {sent} emails would be sent; nothing was stored", answer))


def _as_json(body: Mapping[str, Any]) -> HttpResponse:
    """Write JSON without DRF's rendering, which would look for what is always JSON here."""
    return JsonResponse(body, json_dumps_params=AS_DRF_WRITES)


def _fields(request: Request, whom: str) -> dict[str, Any]:
    """Return the documented fields as they came; the commands check them, others are ignored."""
    body: dict[str, Any] = dict(request.data)  # the parser gives objects only
    return {name: body.get(name) for name in (whom, *OPTIONAL_FIELDS)}


def _success(msg: str, answer: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "msg": msg, "data": answer}
