"""What an operator does with standing orders in the browser."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from sending.models import Suppression
from tests.factories.sending import MessageFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/suppression/"


def page(order: Suppression, name: str = "change") -> str:
    return f"{LIST}{order.pk}/{name}/"


def listed(client: Client, **query: str) -> list[str]:
    return [order.address for order in client.get(LIST, query).context["cl"].result_list]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Ann@Recipient.Example", "ann@recipient.example"),
        ("@Bücher.example", "@xn--bcher-kva.example"),
    ],
)
def test_order_is_stored_as_it_is_looked_up(admin_client: Client, given: str, stored: str) -> None:
    asked = {"address": given, "reason": "blacklisted", "note": "asked by phone"}
    response = admin_client.post(f"{LIST}add/", asked)
    assert response.status_code == 302
    order = Suppression.objects.get()
    assert (order.address, order.reason, order.note) == (stored, "blacklisted", "asked by phone")
    assert LogEntry.objects.get().object_id == str(order.pk)


def test_order_that_stands_is_not_given_twice(admin_client: Client) -> None:
    SuppressionFactory.create(address="ann@recipient.example")
    asked = {"address": "ANN@recipient.example", "reason": "blacklisted", "note": ""}
    response = admin_client.post(f"{LIST}add/", asked)
    assert "already" in response.content.decode()
    assert Suppression.objects.get().reason == "unsubscribed"


def test_what_is_no_address_is_explained(admin_client: Client) -> None:
    asked = {"address": "ann", "reason": "blacklisted", "note": ""}
    assert "has no @" in admin_client.post(f"{LIST}add/", asked).content.decode()


def test_order_is_found_by_address_and_by_the_rule_for_its_domain(admin_client: Client) -> None:
    for address in ("ann@recipient.example", "@recipient.example", "bob@recipient.example"):
        SuppressionFactory.create(address=address)
    found = ["@recipient.example", "ann@recipient.example"]
    assert sorted(listed(admin_client, q="ANN@recipient.example")) == found
    assert listed(admin_client, q="@recipient.example") == found[:1]
    assert listed(admin_client, q="ann") == []


def test_list_costs_the_same_for_one_order_and_for_many(
    admin_client: Client, django_assert_max_num_queries
) -> None:
    SuppressionFactory.create_batch(30, source_message=MessageFactory.create())
    with django_assert_max_num_queries(5):
        assert len(listed(admin_client)) == 30


def test_order_is_lifted_after_a_question(admin_client: Client) -> None:
    order = SuppressionFactory.create()
    assert "only when they ask" in admin_client.get(page(order, "lift")).content.decode()
    assert Suppression.objects.exists()
    admin_client.post(page(order, "lift"))
    assert not Suppression.objects.exists()
    assert LogEntry.objects.get().object_repr == str(order)


def test_selected_orders_are_lifted_after_a_question(admin_client: Client) -> None:
    orders = SuppressionFactory.create_batch(3)
    chosen = {"action": "lift_selected", "_selected_action": [orders[0].pk, orders[1].pk]}
    assert "2 addresses can get mail again" in admin_client.post(LIST, chosen).content.decode()
    assert Suppression.objects.count() == 3
    admin_client.post(LIST, {**chosen, "confirmed": "yes"})
    assert Suppression.objects.get() == orders[2]


def test_order_cannot_be_edited_or_deleted_otherwise(admin_client: Client) -> None:
    order = SuppressionFactory.create()
    assert admin_client.get(page(order)).status_code == 200
    assert admin_client.post(page(order), {"note": "x"}).status_code == 403
    assert admin_client.post(page(order, "delete"), {"post": "yes"}).status_code == 403


def test_who_may_only_look_lifts_nothing() -> None:
    order = SuppressionFactory.create()
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_suppression"))
    client = Client()
    client.force_login(person)
    assert client.get(page(order)).status_code == 200
    assert client.post(page(order, "lift")).status_code == 403
    chosen = {"action": "lift_selected", "_selected_action": [order.pk], "confirmed": "yes"}
    client.post(LIST, chosen)
    assert Suppression.objects.exists()
