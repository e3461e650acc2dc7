"""Give the pages of the second factor their addresses."""

from django.urls import path

from guard import views

urlpatterns = [
    path("", views.ask, name="second-factor"),
    path("set-up/", views.set_up, name="second-factor-set-up"),
    path("change/", views.change, name="second-factor-change"),
]
