"""Programs pass by what is for people; people do not."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db.models import CharField, TextField
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_a_program_is_answered_without_a_look_at_cookies(admin_client: Client) -> None:
    answer = admin_client.post("/api/batch_mail/api/send", {}, "application/json")
    assert answer.status_code == 401
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert not hasattr(answer.wsgi_request, "session")


def test_a_person_has_a_session_and_needs_a_token(admin_user: object) -> None:
    person = Client(enforce_csrf_checks=True)
    person.force_login(admin_user)
    assert person.get("/admin/").status_code == 200
    assert person.post("/admin/logout/").status_code == 403


def test_a_list_cannot_be_asked_for_a_nul(admin_client: Client) -> None:
    for model in admin.site._registry:
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        texts = [
            field.name
            for field in model._meta.concrete_fields
            if isinstance(field, (CharField, TextField))
        ]
        for name in ("q", "nothing", *(f"{text}__exact" for text in texts)):
            answer = admin_client.get(f"{page}?{name}=a%00")
            assert answer.status_code == 400, f"{page}?{name}"
            assert "has a NUL character" in answer.text


def test_no_session_is_looked_for_by_a_nul() -> None:
    answer = Client(headers={"cookie": r'sessionid="abcdefghijkl\000"'}).get("/admin/")
    assert answer.status_code == 400
