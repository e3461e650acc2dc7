"""Take one mail in each request."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from tests.bench.yardsticks.naive import tasks
from tests.bench.yardsticks.naive.models import Mail


class MailSerializer(serializers.ModelSerializer):
    """Check what comes."""

    class Meta:
        """The two fields that a caller gives."""

        model = Mail
        fields = ["recipient", "attribs"]


@api_view(["POST"])
def send(request: Request) -> Response:
    """Store the mail and start its task."""
    given = MailSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    tasks.send.delay(given.save().pk)
    return Response({"success": True})


def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200."""
    return HttpResponse()


urlpatterns = [path("", ready), path("send", send)]
