"""Programs pass by what is for people; people do not."""

from __future__ import annotations

import pytest
from django.test import Client

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
