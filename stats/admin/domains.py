"""Lead from a sender domain to the figures of its mail."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action

from sending.admin.domains import SenderDomainAdmin
from sending.models import SenderDomain

admin.site.unregister(SenderDomain)


@admin.register(SenderDomain)
class SenderDomainFiguresAdmin(SenderDomainAdmin):
    """The pages of the sender domains, with the way to their figures."""

    actions_detail = ("figures", *SenderDomainAdmin.actions_detail)  # type: ignore[assignment]

    @action(description="Figures", url_path="figures", icon="monitoring", permissions=["view"])
    def figures(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the figures of the domain, which are found by its name."""
        domain = self.find(request, object_id, permission="view")
        place = reverse(f"{self.admin_site.name}:sending_message_sender_domains")
        return HttpResponseRedirect(f"{place}?{urlencode({'of': domain.domain})}")
