"""Give the sending endpoints their addresses, below ``/api/``."""

from django.urls import path

from sending import views

urlpatterns = [
    path("batch_mail/api/send", views.send, name="send"),
    path("batch_mail/api/batch_send", views.batch_send, name="batch-send"),
]
