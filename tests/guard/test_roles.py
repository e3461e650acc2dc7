"""Every page of the admin lets in the roles that it is for, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, reverse
from django.utils import timezone

from guard.models import Role, RoleGrant
from guard.roles import grant_new
from sending import outages
from sending.models import Message, Status, new_id_in
from tests.guard.objects import one_of_each

pytestmark = pytest.mark.django_db

# Of a page that is looked at, who looks and what they may included.
MOST_QUERIES = 12
# Pages of every admin, by how their names end: the permission that each asks for.
USUAL = {
    "changelist": "view",
    "add": "add",
    "history": "view",
    "delete": "delete",
    "change": "view",
}
# Whoever adds a page says here what it asks for. A page of `change` that is only looked at needs
# the right to change nevertheless: it is the question before the act.
OWN = {
    "apikeys_apikey_figures": "view",
    "apikeys_apikey_secret": "change",
    "apikeys_apikey_rotate_secret": "change",
    "apikeys_apikey_revoke": "change",
    "auth_user_password_change": "change",
    "guard_alert_acknowledge": "change",
    "sending_message_batch": "view",
    "sending_message_batches": "view",
    "sending_message_failures": "view",
    "sending_message_open_times": "view",
    "sending_message_providers": "view",
    "sending_message_recipient": "view",
    "sending_message_sender_domains": "view",
    "sending_message_tags": "view",
    "sending_message_to_recipient": "view",
    "sending_message_variants": "view",
    "guard_alertchannel_send_test": "change",
    "hygiene_run_start": "add",
    "hygiene_run_rows": "view",
    "hygiene_run_apply": "change",
    "hygiene_run_undo": "change",
    "hygiene_run_stop": "change",
    "sending_message_send_again": "change",
    "sending_message_mark_delivered": "change",
    "sending_message_cancel": "change",
    "sending_route_check_route": "change",
    "sending_route_resume": "change",
    "sending_senderdomain_figures": "view",
    "sending_senderdomain_check_dns": "change",
    "sending_senderdomain_new_dkim_key": "change",
    "sending_slowdown_end": "delete",
    "sending_suppression_check_addresses": "view",
    "sending_suppression_paste": "add",
    "sending_suppression_import_file": "add",
    "sending_suppression_export_file": "view",
    "sending_suppression_figures": "view",
    "sending_suppression_lifted": "view",
    "sending_suppression_lift": "delete",
    "sending_template_figures": "view",
    "tracking_trackedlink_on_the_mail": "view",
    "sending_suppression_personal": "change",
    "sending_template_restore": "change",
    "sending_template_show_preview": "view",
    "sending_template_send_test": "change",
}
# Records: nobody adds, changes or deletes them by hand, whatever the role.
NEVER = re.compile(
    r"(sending_(message|event|liftedsuppression)|tracking_trackedlink|admin_logentry|guard_alert"
    r"|apikeys_refusedaccess|hygiene_run)_(add|delete)$"
    r"|apikeys_apikey_delete$|sending_slowdown_add$|sending_suppression_delete$"
    r"|sending_template_delete$"
)
# What every person who may sign in sees; these show what the person may see.
SHARED = {
    "index", "login", "logout", "password_change", "password_change_done", "autocomplete",
    "jsi18n", "view_on_site", "search", "app_list", "",
}  # fmt: skip


def model_pages() -> Iterator[tuple[str, str, str]]:
    """Yield of each page of a model its name, its model, and what it asks for."""
    for pattern in walk(admin.site.get_urls()):
        name = pattern.name or ""
        if name in SHARED:
            continue
        found = next(
            (one for one in models() if name.startswith(one.replace(".", "_") + "_")), None
        )
        assert found, f"{name} is no page of a model: say in SHARED that everybody may see it."
        ending = name.removeprefix(found.replace(".", "_") + "_")
        needed = OWN.get(name) or USUAL.get(ending)
        assert needed, f"Say in OWN which permission {name} asks for."
        yield name, found, needed


def walk(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from walk(pattern.url_patterns)


def models() -> list[str]:
    registered = (model._meta.label_lower for model in admin.site._registry)
    return sorted(registered, key=len, reverse=True)


PAGES = list(model_pages())
OF_ONE_OBJECT = {one.name for one in walk(admin.site.get_urls()) if one.pattern.converters}


@pytest.fixture
def person(client: Client) -> User:
    user = User.objects.create_user("ann", is_staff=True)
    client.force_login(user)
    return user


def address(name: str, objects: dict[str, Any], model: str) -> str:
    return reverse(f"admin:{name}", args=[objects[model].pk] if name in OF_ONE_OBJECT else [])


def allowed(role: Role | None, model: str, needed: str) -> bool:
    app, _, name = model.partition(".")
    if role is None:
        return False
    return Permission.objects.filter(
        group__name=role, content_type__app_label=app, codename=f"{needed}_{name}"
    ).exists()


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_page_lets_in_whom_it_is_for(
    client: Client, person: User, role: Role | None, method: str
) -> None:
    if role is not None:
        person.groups.add(Group.objects.get(name=role))
    wrong = []
    for name, model, needed in PAGES:
        # A page that is tried may change it, and two of a kind may be one too many.
        undo = transaction.savepoint()
        objects = {model: object_for(name, model)}
        if method == "post" and name.endswith("_change"):
            needed = "change"
        expected = allowed(role, model, needed) and not NEVER.search(name)
        if method == "post" and name.endswith("_change") and is_record(model):
            expected = False
        url = address(name, objects, model)
        with CaptureQueriesContext(connection) as asked:
            answer = getattr(client, method)(url)
        number = sum("SAVEPOINT" not in one["sql"] for one in asked)
        if method == "get" and number > MOST_QUERIES:
            wrong.append(f"{name}: {number} queries")
        streamed = answer.getvalue() if answer.streaming else b""
        assert b"Traceback" not in streamed
        transaction.savepoint_rollback(undo)
        is_in = answer.status_code not in (403, 404)
        if is_in != expected and answer.status_code != 405:
            wrong.append(f"{method} {name}: {answer.status_code}, expected in: {expected}")
        assert answer.status_code < 500, url
    assert wrong == [], wrong


def object_for(name: str, model: str) -> Any:
    made = one_of_each([model])[model]
    status = {"send_again": Status.FAILED, "mark_delivered": Status.UNKNOWN}
    for ending, state in status.items():
        if name.endswith(ending):
            Message.objects.filter(pk=made.pk).update(status=state, next_attempt_at=None)
    if name == "sending_message_batch":
        Message.objects.filter(pk=made.pk).update(batch_id=new_id_in(made.pk))
    return made


def is_record(model: str) -> bool:
    return bool(NEVER.search(model.replace(".", "_") + "_add")) or model == "sending.suppression"


def test_nobody_comes_in_without_signing_in(client: Client) -> None:
    objects = one_of_each(models())
    for name, model, _ in PAGES:
        for method in (client.get, client.post):
            answer = method(address(name, objects, model))
            assert answer.status_code == 302, name
            assert "/login/" in answer["Location"]


def test_person_without_a_role_sees_no_mail_on_the_first_page(client: Client, person: User) -> None:
    Message.objects.all().delete()
    failed = one_of_each(["sending.message"])["sending.message"]
    Message.objects.filter(pk=failed.pk).update(status=Status.FAILED, next_attempt_at=None)
    shown = client.get("/admin/").content.decode()
    assert failed.recipient not in shown
    assert "no role" in shown

    person.groups.add(Group.objects.get(name=Role.VIEWER))
    assert failed.recipient in client.get("/admin/").content.decode()


def test_side_bar_leads_nowhere_forbidden(
    client: Client, person: User, django_assert_max_num_queries: Any
) -> None:
    person.groups.add(Group.objects.get(name=Role.VIEWER))
    one_of_each(["sending.message", "guard.alert"])

    with django_assert_max_num_queries(MOST_QUERIES):
        shown = client.get("/admin/").content.decode()

    assert "/admin/sending/message/" in shown
    assert "/admin/auth/user/" not in shown


def test_actions_of_lists_are_refused_to_a_viewer(client: Client, person: User) -> None:
    person.groups.add(Group.objects.get(name=Role.VIEWER))
    objects = one_of_each(models())
    for model, pages in admin.site._registry.items():
        label = model._meta.label_lower
        names = [getattr(one, "__name__", str(one)) for one in pages.actions or ()]
        for name in [*names, "delete_selected"]:
            url = reverse(f"admin:{label.replace('.', '_')}_changelist")
            client.post(
                url,
                {
                    "action": name,
                    "_selected_action": [objects[label].pk],
                    "confirmed": "yes",
                    "post": "yes",
                    "note": "Because.",
                },
            )
            assert model._base_manager.filter(pk=objects[label].pk).exists(), (label, name)
    message = objects["sending.message"]
    before = message.status
    message.refresh_from_db()
    assert message.status == before


def again() -> None:
    for config in apps.get_app_configs():
        grant_new(config, using="default")


def test_what_an_owner_changed_stays_after_a_migration() -> None:
    operators = Group.objects.get(name=Role.OPERATOR)
    taken = Permission.objects.get(codename="change_template")
    given = Permission.objects.get(codename="change_route")
    operators.permissions.remove(taken)
    operators.permissions.add(given)
    Group.objects.get(name=Role.VIEWER).delete()
    Group.objects.filter(name=Role.OWNER).update(name="boss")

    again()

    assert taken not in operators.permissions.all()
    assert given in operators.permissions.all()
    assert {"operator", "boss"} == set(Group.objects.values_list("name", flat=True))


def test_permission_that_is_new_is_given_once() -> None:
    viewers = Group.objects.get(name=Role.VIEWER)
    new = Permission.objects.get(codename="view_message")
    RoleGrant.objects.filter(permission="sending.view_message").delete()
    viewers.permissions.remove(new)

    again()

    assert new in viewers.permissions.all()


def test_operator_keeps_mail_flowing_but_touches_no_key_no_route_and_no_people() -> None:
    names = set(
        Permission.objects.filter(group__name=Role.OPERATOR).values_list("codename", flat=True)
    )

    assert {"change_message", "add_suppression", "change_alert", "view_apikey"} <= names
    assert not names & {"change_apikey", "add_apikey", "change_route", "view_user", "add_group"}


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("sending/suppression/paste/", {"addresses": "a@x.example", "reason": "manual"}, "Pasted"),
        ("sending/suppression/export/", None, "Exported"),
    ],
)
def test_act_on_no_single_object_is_in_the_log(
    admin_client: Client, path: str, asked: dict[str, str] | None, said: str
) -> None:
    url = f"/admin/{path}"
    answer = admin_client.get(url) if asked is None else admin_client.post(url, asked)
    assert answer.status_code in (200, 302)

    assert said in admin_client.get("/admin/admin/logentry/").content.decode()


def test_check_and_resumption_of_a_route_are_in_the_log(admin_client: Client) -> None:
    route = one_of_each(["sending.route"])["sending.route"]
    outages.pause(route, reason="535 no", now=timezone.now())
    admin_client.post(f"/admin/sending/route/{route.pk}/resume/")
    admin_client.post(f"/admin/sending/route/{route.pk}/check/")

    shown = admin_client.get("/admin/admin/logentry/").content.decode()
    assert "Checked the connection." in shown
    assert "Resumed." in shown


def test_new_password_of_ones_own_is_in_the_log(client: Client) -> None:
    user = User.objects.create_user("ann", password="an old and long one", is_staff=True)
    client.force_login(user)
    new = "a new and long one"
    client.post(
        "/admin/password_change/",
        {"old_password": "an old and long one", "new_password1": new, "new_password2": new},
    )
    user.refresh_from_db()
    assert user.check_password(new)
    client.force_login(User.objects.create_superuser("boss"))
    assert "Changed their own password." in client.get("/admin/admin/logentry/").content.decode()
