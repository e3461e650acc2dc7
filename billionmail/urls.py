"""Give every page its address."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from billionmail import health

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/second-factor/", include("guard.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("sending.urls")),
    path("api/", include("stats.urls")),
    path("t/", include("tracking.urls")),
    path("u/", include("unsubscribe.urls")),
    path("hooks/", include("tracking.hooks.urls")),
    path("favicon.ico", RedirectView.as_view(url=static("billionmail/icon.svg"))),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
if settings.MAIL_CATCHER:
    urlpatterns.append(path("inbox/", include("billionmail.catcher.urls")))

handler400 = "billionmail.api.bad_request"
handler404 = "billionmail.api.not_found"
handler500 = "billionmail.api.server_error"
