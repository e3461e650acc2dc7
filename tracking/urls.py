"""Give the pixel and the links of mails their addresses, below ``/t/``."""

from django.urls import path

from tracking import views

urlpatterns = [
    path("o/<str:token>.gif", views.pixel, name="pixel"),
    path("c/<str:token>", views.click, name="click"),
]
