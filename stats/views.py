"""Answer ``/api/v1/stats``: what became of a key's mail."""

from __future__ import annotations

from django.http import HttpResponse
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
from apikeys.permissions import AddressAllowed, api_key, scope
from apikeys.throttles import KeyRateThrottle
from stats import serializers


@api_view(["GET"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("read")])
@throttle_classes([KeyRateThrottle])
def stats(request: Request) -> HttpResponse | Response:
    """Tell the counts and rates of the calling key's mail, by when it was accepted.

    Takes ``start``, ``end``, ``zone``; ``step`` for a series, ``by`` for a breakdown or ``show``
    for a table, both with ``limit``; ``template``, ``tag`` and the like for that mail alone, and
    ``link`` for its clickers; ``format=csv`` for the rows. Refuses every other parameter.
    """
    question = serializers.read_question(
        request.query_params, key_id=api_key(request).pk, now=timezone.now()
    )
    if question.is_csv:
        return HttpResponse(serializers.as_csv(question), content_type="text/csv; charset=utf-8")
    told = serializers.answer(question)
    return Response({"success": True, "code": 0, "msg": "", "data": told})
