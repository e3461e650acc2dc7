"""An operator words the page of a sender domain."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.factories.sending import SenderDomainFactory
from unsubscribe.models import PageWording

pytestmark = pytest.mark.django_db

ADD = "/admin/unsubscribe/pagewording/add/"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def post(client: Client, name: str, content: bytes) -> str:
    domain = SenderDomainFactory.create()
    asked = {
        "sender_domain": domain.pk,
        "language": "",
        "question": "Leave us?",
        "upload": SimpleUploadedFile(name, content),
    }
    return client.post(ADD, asked, follow=True).content.decode()


def test_words_and_a_logo_are_kept(admin_client: Client) -> None:
    post(admin_client, "logo.png", PNG)
    wording = PageWording.objects.get()
    assert wording.question == "Leave us?"
    assert wording.logo.startswith("data:image/png;base64,iVBORw0KGgo")
    page = f"/admin/unsubscribe/pagewording/{wording.pk}/change/"
    kept = {"sender_domain": wording.sender_domain_id, "language": "", "question": "Go?"}
    admin_client.post(page, kept)
    wording.refresh_from_db()
    assert (wording.question, wording.logo[:10]) == ("Go?", "data:image")
    admin_client.post(page, {**kept, "without_logo": "on"})
    wording.refresh_from_db()
    assert wording.logo == ""


@pytest.mark.parametrize(
    ("content", "why"), [(b"<svg onload=x>", "is no PNG"), (PNG + b"\0" * 102_400, "are allowed")]
)
def test_what_is_no_small_image_is_refused(admin_client: Client, content: bytes, why: str) -> None:
    assert why in post(admin_client, "logo.png", content)
    assert not PageWording.objects.exists()
