"""Passwords cannot be tried at speed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from guard.sign_in import TRIES_PER_MINUTE

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"


def sign_in(client: Client, name: str, password: str, address: str = "192.0.2.1") -> str:
    answer = client.post(
        "/admin/login/", {"username": name, "password": password}, REMOTE_ADDR=address
    )
    return "in" if answer.status_code == 302 else answer.content.decode()


def test_too_many_tries_refuse_even_the_right_password_but_nobody_elsewhere(
    client: Client,
) -> None:
    for name in ("ann", "bob"):
        User.objects.create_user(name, password=PASSWORD, is_staff=True)
    for number in range(TRIES_PER_MINUTE):
        assert "Too many tries" not in sign_in(client, "ann", f"guess {number}")

    assert "Too many tries" in sign_in(client, "Ann", PASSWORD)
    assert sign_in(client, "bob", PASSWORD) == "in"
    assert sign_in(Client(), "ann", PASSWORD, address="192.0.2.2") == "in"
