"""A view as the real ones are guarded, and the admin of this app without those of the others."""

from django.urls import path
from rest_framework.decorators import (
    api_view,
    authentication_classes,
    permission_classes,
    throttle_classes,
)
from rest_framework.request import Request
from rest_framework.response import Response
from unfold.sites import UnfoldAdminSite

from apikeys.admin import ApiKeyAdmin
from apikeys.authentication import ApiKeyAuthentication
from apikeys.models import ApiKey
from apikeys.permissions import AddressAllowed, scope
from apikeys.throttles import KeyRateThrottle

site = UnfoldAdminSite()
site.register(ApiKey, ApiKeyAdmin)


@api_view(["GET"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([AddressAllowed, scope("send")])
@throttle_classes([KeyRateThrottle])
def guarded(request: Request) -> Response:
    return Response({"key": str(request.auth), "anonymous": request.user.is_anonymous})


urlpatterns = [path("guarded/", guarded), path("admin/", site.urls)]
