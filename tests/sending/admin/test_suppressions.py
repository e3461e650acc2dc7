"""What an operator does with standing orders in the browser."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from sending.models import LiftedSuppression, Message, Suppression
from sending.pseudonyms import is_pseudonym
from sending.suppressions import forget, lift
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
        (".Recipient.example", ".recipient.example"),
        ("pattern:*@Mail*.example", "pattern:*@mail*.example"),
    ],
)
def test_order_is_stored_as_it_is_looked_up(admin_client: Client, given: str, stored: str) -> None:
    asked = {"address": given, "reason": "blacklisted", "note": "asked by phone"}
    response = admin_client.post(f"{LIST}add/", asked)
    assert response.status_code == 302
    order = Suppression.objects.get()
    assert (order.address, order.reason, order.note) == (stored, "blacklisted", "asked by phone")
    assert order.by == "admin"
    assert LogEntry.objects.get().object_id == str(order.pk)


def test_order_that_stands_is_not_given_twice(admin_client: Client) -> None:
    SuppressionFactory.create(address="ann@recipient.example")
    asked = {"address": "ANN@recipient.example", "reason": "unsubscribed", "note": ""}
    response = admin_client.post(f"{LIST}add/", asked)
    assert "already" in response.content.decode()
    admin_client.post(f"{LIST}add/", {**asked, "reason": "blacklisted"})
    reasons = Suppression.objects.order_by("id").values_list("reason", flat=True)
    assert list(reasons) == ["unsubscribed", "blacklisted"]


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


def test_order_is_lifted_with_a_reason_and_leaves_its_trace(admin_client: Client) -> None:
    order = SuppressionFactory.create()
    assert "only when they ask" in admin_client.get(page(order, "lift")).content.decode()
    admin_client.post(page(order, "lift"))
    assert Suppression.objects.exists()
    admin_client.post(page(order, "lift"), {"note": "She called us."})
    assert not Suppression.objects.exists()
    assert LogEntry.objects.get().object_repr == str(order)
    again = SuppressionFactory.create(address=order.address)
    shown = admin_client.get(page(again)).content.decode()
    assert "She called us." in shown
    assert "by admin" in shown
    assert order.address in admin_client.get("/admin/sending/liftedsuppression/").content.decode()


def test_selected_orders_are_lifted_after_a_question(admin_client: Client) -> None:
    orders = SuppressionFactory.create_batch(3)
    chosen = {"action": "lift_selected", "_selected_action": [orders[0].pk, orders[1].pk]}
    assert "2 addresses can get mail again" in admin_client.post(LIST, chosen).content.decode()
    admin_client.post(LIST, {**chosen, "confirmed": "yes"})
    assert Suppression.objects.count() == 3
    admin_client.post(LIST, {**chosen, "confirmed": "yes", "note": "Wrong list."})
    assert Suppression.objects.get() == orders[2]
    assert LiftedSuppression.objects.filter(lift_note="Wrong list.").count() == 2


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
    client.post(LIST, {**chosen, "note": "x"})
    for name in ("paste", "import"):
        assert client.get(f"{LIST}{name}/").status_code == 403
    assert Suppression.objects.exists()


def test_pasted_lines_are_suppressed_all_or_none(admin_client: Client) -> None:
    asked = {"addresses": "a@x.example\n\n@y.example\nnobody", "reason": "manual", "note": "n"}
    refused = admin_client.post(f"{LIST}paste/", asked).content.decode()
    assert "Line 4" in refused
    assert not Suppression.objects.exists()
    asked["addresses"] = "a@x.example\nA@x.example\n@y.example"
    admin_client.post(f"{LIST}paste/", asked)
    assert sorted(Suppression.objects.values_list("address", "by")) == [
        ("@y.example", "admin"),
        ("a@x.example", "admin"),
    ]


FILE = (
    "address,reason,note,expires_at\n"
    "Ann@x.example,unsubscribed,by phone,\n"
    "bob@x.example,,,2100-01-01T00:00:00Z\n"
    "nobody,,,\n"
    "carl@x.example,funny,,\n"
    "\n"
    '"ann@x.example",unsubscribed,twice,\n'
)


def import_file(client: Client, text: str, **asked: str) -> str:
    given = {"file": SimpleUploadedFile("list.csv", text.encode()), **asked}
    shown = strip_tags(client.post(f"{LIST}import/", given).content.decode())
    return " ".join(unescape(shown).split())


def test_a_file_is_looked_at_before_it_is_imported_and_every_bad_row_is_told(
    admin_client: Client,
) -> None:
    told = import_file(admin_client, FILE, is_dry_run="on")
    assert "Nothing was changed. It would be: 2 new, 1 known already, 2 that cannot" in told
    assert "Line 4, nobody: The address has no @" in told
    assert "Line 5, carl@x.example: reason 'funny' is not one of" in told
    assert not Suppression.objects.exists()
    assert "Done: 2 new" in import_file(admin_client, FILE)
    assert Suppression.objects.get(address="ann@x.example").note == "by phone"
    assert Suppression.objects.get(address="bob@x.example").expires_at.year == 2100
    assert "Done: 0 new, 3 known" in import_file(admin_client, FILE)


def test_a_file_of_bare_addresses_is_imported(admin_client: Client) -> None:
    lines = "\r\n".join(f"r{number}@x.example" for number in range(2500))
    assert "Done: 2500 new" in import_file(admin_client, lines)
    assert set(Suppression.objects.values_list("reason", flat=True)) == {"manual"}


def test_what_was_exported_can_be_imported(admin_client: Client) -> None:
    rules = ["=1+1@x.example", "@y.example", "ann@x.example"]
    for rule in rules:
        SuppressionFactory.create(address=rule, note="=1+1")
    answer = admin_client.get(f"{LIST}export/")
    assert isinstance(answer, StreamingHttpResponse)
    text = b"".join(answer.streaming_content).decode()
    assert "\n=" not in text
    Suppression.objects.all().delete()
    assert "Done: 3 new" in import_file(admin_client, text)
    assert sorted(Suppression.objects.values_list("address", "note")) == [
        (rule, "=1+1") for rule in rules
    ]


def test_the_check_names_the_rule(admin_client: Client) -> None:
    SuppressionFactory.create(address="@gone.example", reason="blacklisted", kind="domain")
    asked = {"addresses": "ann@gone.example bob@x.example"}
    told = " ".join(strip_tags(admin_client.post(f"{LIST}check/", asked).content.decode()).split())
    assert "ann@gone.example is on the blacklist (rule @gone.example)" in told
    assert "allowed: no standing order is about bob@x.example" in told
    assert (
        "cannot be checked"
        in admin_client.post(f"{LIST}check/", {"addresses": "nobody"}).content.decode()
    )


def test_the_figures_show_each_reason(admin_client: Client) -> None:
    SuppressionFactory.create_batch(2, reason="complained")
    shown = admin_client.get(f"{LIST}figures/").content.decode()
    assert "Complained: 2" in shown
    assert "Unsubscribed" not in shown.partition("Suppressed in the last")[2]


def test_times_are_written_so_that_they_sort(admin_client: Client) -> None:
    SuppressionFactory.create(created_at=datetime(2026, 3, 1, 17, 5, tzinfo=UTC))
    assert "2026-03-01 17:05" in admin_client.get(LIST).content.decode()


def test_an_owner_downloads_what_is_stored_and_the_log_does_not_name_whose(
    admin_client: Client,
) -> None:
    MessageFactory.create(recipient="ann@recipient.example")
    asked = {"address": "Ann@recipient.example", "act": "export"}
    answer = admin_client.post(f"{LIST}personal/", asked)
    assert "attachment" in answer["Content-Disposition"]
    assert answer.json()["messages"][0]["recipient"] == "ann@recipient.example"
    assert "forgotten.invalid" in LogEntry.objects.get().change_message


def test_an_owner_forgets_a_recipient_only_after_typing_the_address_twice(
    admin_client: Client,
) -> None:
    MessageFactory.create(recipient="ann@recipient.example", status="sent")
    asked = {"address": "ann@recipient.example", "act": "forget", "again": "an@recipient.example"}
    assert "a second time" in admin_client.post(f"{LIST}personal/", asked).content.decode()
    assert Message.objects.get().recipient == "ann@recipient.example"

    asked["again"] = "ann@recipient.example"
    shown = admin_client.post(f"{LIST}personal/", asked, follow=True).content.decode()
    assert "1 messages were anonymised" in shown
    assert is_pseudonym(Message.objects.get().recipient)
    assert "ann@" not in LogEntry.objects.get().change_message
    asked = {"address": "ann", "act": "export"}
    assert "no @" in admin_client.post(f"{LIST}personal/", asked).content.decode()


def test_an_order_about_somebody_forgotten_is_found_by_the_address_and_lifted(
    admin_client: Client,
) -> None:
    forget("ann@recipient.example", now=timezone.now(), by="owner")
    (address,) = listed(admin_client, q="Ann@recipient.example")
    assert is_pseudonym(address)
    assert lift("ann@recipient.example")
