"""Give the figures their address, below ``/api/``."""

from django.urls import path

from stats import views

urlpatterns = [path("v1/stats", views.stats, name="stats")]
