"""Give the sending endpoints their addresses, below ``/api/``."""

from django.urls import path

from sending import suppression_views, views

urlpatterns = [
    path("batch_mail/api/send", views.send, name="send"),
    path("batch_mail/api/batch_send", views.batch_send, name="batch-send"),
    path("v1/suppressions", suppression_views.collection, name="suppressions"),
    path("v1/suppressions/check", suppression_views.check, name="suppressions-check"),
    path("v1/suppressions/<path:address>", suppression_views.one, name="suppression"),
]
