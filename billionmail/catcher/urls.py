"""Give the pages of caught mail their addresses, below ``/inbox/``."""

from django.urls import path

from billionmail.catcher import views

urlpatterns = [
    path("", views.mail_list, name="inbox"),
    path("clear", views.clear, name="inbox-clear"),
    path("<str:name>/", views.mail, name="inbox-mail"),
    path("<str:name>/html", views.mail_html, name="inbox-mail-html"),
    path("<str:name>/source", views.mail_source, name="inbox-mail-source"),
]
