"""Give the unsubscribe page its address, below ``/u/``."""

from django.urls import path

from unsubscribe import views

urlpatterns = [path("<str:token>", views.unsubscribe, name="unsubscribe")]
