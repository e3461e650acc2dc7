"""A list is cleaned in a real browser, from the form to the undoing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser

from hygiene.models import Run
from hygiene.tasks import go_on
from sending.models import Status, Suppression
from tests.browser.test_pages import PASSWORD, Visitor
from tests.factories.sending import SendingProfileFactory
from tests.hygiene.pasts import mail

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

LONG = "a.person.with.quite.a.long.name@department.with.a.long.name.of.the.company.example"
LIST = [
    "address",
    "ann@recipient.example",
    "gus@gmial.com",
    "<b>no address",
    "eve@mailinator.com",
    "info@mailinator.com",
    f"info+{LONG}",
    "support@recipient.example",
]


def test_a_list_is_cleaned_and_that_is_undone(browser: Browser, live_server: Any) -> None:
    get_user_model().objects.create_superuser("ann", password=PASSWORD)
    profile = SendingProfileFactory.create()
    mail(profile, "ann@recipient.example", days=1, status=Status.SENT)
    mail(profile, "eve@mailinator.com", days=1, status=Status.BOUNCED)
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    page = visitor.page

    def shows(path: str, text: str, name: str) -> None:
        visitor.open(path, shows=text, name=f"cleaning-{name}")

    shows("/admin/hygiene/run/start/", "Look up domains", "start")
    page.check("input[name=source][value=file]")
    list_file = {"name": "list.csv", "mimeType": "text/csv", "buffer": "\n".join(LIST).encode()}
    page.set_input_files("input[name=file]", files=[list_file])
    page.uncheck("input[name=looks_up_domains]", force=True)
    page.click("text=Check it")
    page.wait_for_url("**/change/")
    run = Run.objects.get()
    own = f"/admin/hygiene/run/{run.pk}"
    shows(f"{own}/change/", "looks again by itself", "working")

    assert go_on()
    page.wait_for_selector("text=What was found")  # it has looked again by itself
    shows(f"{own}/change/", "meant gus@gmail.com?", "checked")
    shows("/admin/hygiene/run/", "list.csv", "list")
    shows(f"{own}/apply/", "3 addresses", "apply")
    page.check("input[name=kinds][value=role]")
    page.click("text=Show what would follow")
    page.wait_for_selector("text=5 addresses")
    page.click("button[name=confirmed]")
    page.wait_for_url("**/change/")
    assert go_on()
    assert Suppression.objects.count() == 5

    shows(f"{own}/change/", "Undo", "applied")
    shows(f"{own}/undo/", "can get mail again", "undo")
    page.click("text=Undo it")
    page.wait_for_url("**/change/")
    assert go_on()
    assert not Suppression.objects.exists()
    shows(f"{own}/change/", "Taken back", "undone")
    assert visitor.complaints == []
