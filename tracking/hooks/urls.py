"""Give the hooks their addresses, below ``/hooks/``."""

from django.urls import path

from tracking.hooks import providers, reports

urlpatterns = [
    path("reports", reports.take_raw_report, name="raw_report"),
    path("<slug:provider>/", providers.provider_hook, name="provider_hook"),
]
