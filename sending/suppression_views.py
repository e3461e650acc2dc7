"""Answer ``/api/v1/suppressions``: list, add, look at, lift, check."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework.decorators import (
    api_view,
    authentication_classes,
    permission_classes,
    throttle_classes,
)
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.authentication import ApiKeyAuthentication
from apikeys.permissions import AddressAllowed, api_key, scope, scope_by_method
from apikeys.throttles import KeyRateThrottle
from sending import suppressions
from sending.commands import suppressions as commands
from sending.errors import InvalidSuppression, NotSuppressed
from sending.models import LiftedSuppression, Suppression
from sending.screening import Finding

BODY_BYTES = 1024 * 1024
DEFAULT_LIMIT = 100


@api_view(["GET", "POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope_by_method(GET="read", POST="manage")])
@throttle_classes([KeyRateThrottle])
def collection(request: Request) -> Response:
    """GET a page of suppressions, the newest first; POST one, or ``suppressions`` with up to 1,000.

    GET takes ``reason``, ``kind``, ``limit`` and, for the next page, ``before``.
    """
    if request.method == "POST":
        body = _body(request)
        given = body.get("suppressions", [body])
        if not isinstance(given, list):
            raise InvalidSuppression("suppressions must be a list.")
        by = f"API key {api_key(request).name}"
        new = commands.add_suppressions(given, by=by, now=timezone.now())
        told = {"new": new, "standing": len(given) - new}
        return _success(f"{new} suppressed", told, status=201 if new else 200)
    query = request.query_params
    limit = _number(query.get("limit"), "limit") or DEFAULT_LIMIT
    page = commands.list_suppressions(
        reason=query.get("reason", ""),
        kind=query.get("kind", ""),
        before_id=_number(query.get("before"), "before"),
        limit=limit,
    )
    next_page = page[-1].pk if len(page) >= min(limit, commands.MAX_LISTED) else None
    return _success("", {"suppressions": [_entry(one) for one in page], "next_before": next_page})


@api_view(["GET", "DELETE"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope_by_method(GET="read", DELETE="manage")])
@throttle_classes([KeyRateThrottle])
def one(request: Request, address: str) -> Response:
    """GET what stands about a rule, and its history; DELETE lifts it (``reason``, ``note``)."""
    query = request.query_params
    if request.method == "DELETE":
        lifted = commands.remove_suppression(
            address,
            reason=query.get("reason", ""),
            note=query.get("note", ""),
            by=f"API key {api_key(request).name}",
            now=timezone.now(),
        )
        return _success(f"{lifted} lifted", {"lifted": lifted})
    standing = list(commands.orders_about(address).order_by("id"))
    ended = suppressions.history(suppressions.read_rule(address))
    if not standing and not ended:
        raise NotSuppressed(address)
    told = {
        "suppressions": [_entry(order) for order in standing],
        "history": [_ended(order) for order in ended],
    }
    return _success("", told)


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("read")])
@throttle_classes([KeyRateThrottle])
def check(request: Request) -> Response:
    """Say for each of ``addresses`` (up to 1,000) whether this key's mail may go there, and why."""
    body = _body(request)
    findings = commands.check_addresses(
        body.get("addresses"), key=api_key(request), stream=body.get("stream") or ""
    )
    return _success("", {"verdicts": [_verdict(finding) for finding in findings]})


for _view in (collection, check):
    # Read by the parser; the function has no other place to say it.
    _view.cls.max_body_bytes = BODY_BYTES  # type: ignore[attr-defined]


def _body(request: Request) -> dict[str, Any]:
    return dict(request.data)  # the parser gives objects only


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise InvalidSuppression(f"{name} must be a number from 1 on.")
    return int(text)


def _entry(order: Suppression | LiftedSuppression) -> dict[str, Any]:
    return {
        "address": order.address,
        "kind": order.kind,
        "reason": order.reason,
        "note": order.note,
        "by": order.by,
        "source_message": order.source_message_id,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
    }


def _ended(order: LiftedSuppression) -> dict[str, Any]:
    return _entry(order) | {
        "lifted_at": order.lifted_at,
        "lifted_by": order.lifted_by,
        "lift_note": order.lift_note,
    }


def _verdict(finding: Finding) -> dict[str, Any]:
    blocked = finding.blocked_by
    return {
        "address": finding.address,
        "allowed": blocked is None,
        "reason": blocked.reason if blocked else "",
        "rule": blocked.rule if blocked else "",
        "msg": str(finding),
    }


def _success(msg: str, told: Any, *, status: int = 200) -> Response:
    return Response({"success": True, "code": 0, "msg": msg, "data": told}, status=status)
