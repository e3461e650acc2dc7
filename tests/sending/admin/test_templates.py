"""What an operator does with templates in the browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from sending.models import Message, Route, Template
from tests.factories.sending import (
    SendingProfileFactory,
    TemplateFactory,
    TemplateVersionFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/template/"


def form(**fields: Any) -> dict[str, Any]:
    wording = {"subject": "Hi", "html": "<p>Hi {{.API.name}}</p>", "text": ""}
    return {"name": "Order", "slug": "order", "is_active": "on", **wording, **fields}


def page(template: Template, name: str) -> str:
    return f"{LIST}{template.pk}/{name}/"


def viewer(*codenames: str) -> Client:
    client = Client()
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(person)
    return client


def test_new_template_sends_what_was_written(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}add/", form(html="<p>\r\nHi</p>"))
    assert response.status_code == 302
    version = Template.objects.get().current_version
    assert version is not None
    assert (version.number, version.subject, version.html) == (1, "Hi", "<p>\nHi</p>")
    assert version.created_by == User.objects.get()


def test_saved_wording_is_a_new_version_and_the_switch_alone_is_not(admin_client: Client) -> None:
    admin_client.post(f"{LIST}add/", form())
    template = Template.objects.get()
    admin_client.post(page(template, "change"), form(is_active=""))
    assert template.versions.count() == 1
    template.refresh_from_db()
    assert not template.is_active

    response = admin_client.post(page(template, "change"), form(subject="New"), follow=True)
    template.refresh_from_db()
    assert template.versions.count() == 2
    assert template.current_version.number == 2
    assert "Order v2 is sent from now on." in response.content.decode()


def test_form_shows_the_wording_that_is_sent(admin_client: Client) -> None:
    template = TemplateFactory.create(version__html="<p>Sent</p>")
    TemplateVersionFactory.create(template=template, html="<p>Not sent</p>")
    shown = admin_client.get(page(template, "change")).content.decode()
    assert "&lt;p&gt;Sent&lt;/p&gt;" in shown
    assert "&lt;p&gt;Not sent" not in shown


def test_template_error_stands_at_its_field_with_line_and_column(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}add/", form(html="<p>\n {{ if }}</p>"))
    errors = response.context["adminform"].form.errors
    assert errors["html"][0].startswith("Line 2, column ")
    # The same stands at the top of the page, where it is seen.
    assert errors["__all__"] == [f"HTML: {errors['html'][0]}"]
    assert list(errors) == ["html", "__all__"]
    assert "HTML: Line 2, column " in response.content.decode()
    assert not Template.objects.exists()


def test_preview_frames_the_mail_so_that_it_runs_nothing(admin_client: Client) -> None:
    template = TemplateFactory.create(
        version__html='<script>alert(1)</script><p title="x">{{.API.name}}</p>'
    )
    response = admin_client.get(page(template, "preview"))
    shown = response.content.decode()
    assert '<iframe sandbox="" srcdoc="&lt;script&gt;alert(1)&lt;/script&gt;' in shown
    assert "<script>alert(1)" not in shown
    assert "Ann Example" in shown
    assert "img-src 'self' data:" in response["Content-Security-Policy"]


def test_preview_follows_the_values_and_escapes_them(admin_client: Client) -> None:
    template = TemplateFactory.create(version__html="<p>{{.API.name}}</p>")
    response = admin_client.post(page(template, "preview"), {"attribs": '{"name": "<Bob>"}'})
    assert response.context["preview"].html == "<p>&lt;Bob&gt;</p>"
    assert response.context["preview"].subject == "Hello <Bob>"


@pytest.mark.parametrize("wrong", ["{", "[1]", '"x"'])
def test_values_that_are_no_object_are_explained(admin_client: Client, wrong: str) -> None:
    template = TemplateFactory.create()
    response = admin_client.post(page(template, "preview"), {"attribs": wrong})
    assert "Give a JSON object" in response.content.decode()


def test_older_version_can_be_seen_and_unknown_ones_are_not_found(admin_client: Client) -> None:
    template = TemplateFactory.create()
    TemplateVersionFactory.create(template=template, html="<p>Other</p>")
    shown = admin_client.get(page(template, "preview"), {"version": 2})
    assert shown.context["preview"].html == "<p>Other</p>"
    for number in ("3", "x", "-1"):
        assert admin_client.get(page(template, "preview"), {"version": number}).status_code == 404


def test_restored_version_is_a_new_one_and_needs_a_post(admin_client: Client) -> None:
    template = TemplateFactory.create(version__subject="First")
    admin_client.post(
        page(template, "change"), form(name=template.name, slug=template.slug, subject="Second")
    )
    url = page(template, "restore") + "?version=1"
    assert admin_client.get(url).status_code == 200
    assert template.versions.count() == 2

    admin_client.post(url)
    template.refresh_from_db()
    assert (template.current_version.number, template.current_version.subject) == (3, "First")
    assert "Restored v1 as v3." in LogEntry.objects.first().change_message


def test_test_mail_is_a_real_message_of_this_template(admin_client: Client, route: Route) -> None:
    key = SendingProfileFactory.create(route=None, subject="The key's own").api_key
    template = TemplateFactory.create(version__subject="Of the template")
    asked = {"to": "ann@recipient.example", "key": str(key.pk), "attribs": '{"name": "Ann"}'}
    response = admin_client.post(page(template, "test"), asked)
    message = Message.objects.get()
    assert response["Location"] == f"/admin/sending/message/{message.pk}/change/"
    assert message.template_version == template.current_version
    assert (message.api_key, message.subject, message.status) == (key, "", "queued")
    assert str(message.pk) in LogEntry.objects.get().change_message


def test_refused_test_mail_says_why_and_keeps_the_form(admin_client: Client, route: Route) -> None:
    profile = SendingProfileFactory.create(route=None, sender_address="")
    asked = {"to": "ann@recipient.example", "key": str(profile.pk), "attribs": "{}"}
    response = admin_client.post(page(profile.template, "test"), asked)
    assert "no default sender" in response.content.decode()
    assert not Message.objects.exists()


def test_test_without_any_key_says_what_to_do(admin_client: Client) -> None:
    shown = admin_client.get(page(TemplateFactory.create(), "test")).content.decode()
    assert "Create a key" in shown


def test_who_may_only_look_changes_nothing() -> None:
    template = TemplateFactory.create()
    client = viewer("view_template")
    assert client.get(page(template, "change")).status_code == 200
    assert client.get(page(template, "preview")).status_code == 200
    for name in ("restore", "test", "change"):
        assert client.post(page(template, name), form(subject="Mine")).status_code == 403
    assert template.versions.count() == 1


def test_forged_post_is_refused(admin_user: User) -> None:
    template = TemplateFactory.create()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    for name in ("restore", "test", "change"):
        assert client.post(page(template, name), form()).status_code == 403


def test_template_cannot_be_deleted(admin_client: Client) -> None:
    template = TemplateFactory.create()
    assert admin_client.post(page(template, "delete"), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("name", ["preview", "restore", "test"])
def test_pages_of_an_unknown_template_are_not_an_error_of_ours(
    admin_client: Client, name: str
) -> None:
    for identity in ("999", "nonsense"):
        assert admin_client.get(f"{LIST}{identity}/{name}/").status_code == 404


def test_list_costs_the_same_for_one_template_and_for_many(
    admin_client: Client, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        SendingProfileFactory.create()
    with django_assert_max_num_queries(7):
        response = admin_client.get(LIST)
    assert "Template" in response.content.decode()
