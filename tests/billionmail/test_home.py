"""The first page tells whether mail flows, and what to do when there is none."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.test import Client

from sending.models import Status
from tests.factories.sending import MessageFactory, RouteFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db


def test_empty_installation_says_what_to_do_next(admin_client: Client) -> None:
    shown = admin_client.get("/admin/").content.decode()
    assert "To send a first mail" in shown
    assert "Create an" in shown


def test_figures_chart_and_failures_are_shown(admin_client: Client) -> None:
    profile = SendingProfileFactory.create()
    MessageFactory.create(profile=profile, status=Status.SENT)
    failed = MessageFactory.create(
        profile=profile, status=Status.REJECTED, reason="550 <script>alert(1)</script>"
    )
    shown = admin_client.get("/admin/").content.decode()
    assert "To send a first mail" not in shown
    assert f"/admin/sending/message/{failed.pk}/change/" in shown
    assert "550 &lt;script&gt;" in shown
    chart = re.search(r"data-value='(.*?)'></canvas>", shown, re.DOTALL)
    assert chart is not None
    drawn = json.loads(unescape(chart[1]))
    assert len(drawn["labels"]) == 24
    totals = {one["label"]: sum(one["data"]) for one in drawn["datasets"]}
    assert (totals["handed over"], totals["bounced or failed"]) == (1, 1)


@pytest.mark.parametrize("page", ["auth/user/", "auth/user/add/", "auth/group/"])
def test_people_have_the_look_of_the_other_pages(admin_client: Client, page: str) -> None:
    shown = admin_client.get(f"/admin/{page}")
    assert shown.status_code == 200
    assert "unfold" in shown.content.decode()


def test_first_page_warns_while_there_is_no_way_out(admin_client: Client) -> None:
    route = RouteFactory.create(is_default=True, is_active=False)
    shown = admin_client.get("/admin/").content.decode()
    assert "No way out:" in shown
    assert 'href="/admin/sending/route/">Add or enable a default route</a>' in shown
    route.is_active = True
    route.save()
    assert "No way out" not in admin_client.get("/admin/").content.decode()
