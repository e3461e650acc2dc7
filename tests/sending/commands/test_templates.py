"""A template keeps every wording it ever had, and none that cannot be rendered."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from sending.commands import create_template, preview, sample_values, save_version
from sending.errors import RenderingError
from sending.models import Template, TemplateVersion
from tests.factories.sending import TemplateFactory, TemplateVersionFactory

pytestmark = pytest.mark.django_db

WORDING = {"subject": "Hi {{.API.name}}", "html": "<p>Hi {{.API.name}}</p>", "text": ""}


def test_changed_wording_becomes_the_next_version() -> None:
    template = TemplateFactory.create()
    version = save_version(template=template, by=None, **WORDING)
    assert version.number == 2
    assert Template.objects.get().current_version == version
    assert template.versions.count() == 2


def test_same_wording_makes_no_version() -> None:
    template = TemplateFactory.create()
    first = save_version(template=template, by=None, **WORDING)
    assert save_version(template=template, by=None, **WORDING) == first
    assert template.versions.count() == 2


def test_next_number_follows_the_newest_version_not_the_current() -> None:
    template = TemplateFactory.create()
    TemplateVersionFactory.create(template=template, number=7)
    assert save_version(template=template, by=None, **WORDING).number == 8


@pytest.mark.parametrize("field", ["subject", "html", "text"])
def test_fault_is_named_by_field_line_and_column(field: str) -> None:
    template = TemplateFactory.create()
    wrong = "Hi" if field == "subject" else "Hi\n"
    with pytest.raises(ValidationError) as refused:
        save_version(template=template, by=None, **{**WORDING, field: wrong + "{{.API.name"})
    faults = refused.value.message_dict
    assert list(faults) == [field]
    assert faults[field][0].startswith("Line 1" if field == "subject" else "Line 2")
    assert "column" in faults[field][0]
    assert template.versions.count() == 1


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        create_template(name="A", slug="a", subject=" ", html="{{", text="{{", by=None)
    assert set(refused.value.message_dict) == {"subject", "html", "text"}
    assert not Template.objects.exists()


def test_template_without_a_body_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        create_template(name="A", slug="a", subject="Hi", html=" ", text="", by=None)
    assert list(refused.value.message_dict) == ["html"]


def test_name_that_is_taken_is_refused_and_nothing_is_stored() -> None:
    TemplateFactory.create(name="Order", slug="order")
    with pytest.raises(ValidationError):
        create_template(name="Order", slug="order-2", by=None, **WORDING)
    assert Template.objects.count() == 1


def test_new_template_sends_its_first_version(admin_user) -> None:
    template = create_template(name="Order", slug="order", by=admin_user, **WORDING)
    version = TemplateVersion.objects.get()
    assert Template.objects.get() == template
    assert template.current_version == version
    assert (version.number, version.created_by) == (1, admin_user)


@pytest.mark.django_db(transaction=True)
def test_two_who_save_at_once_get_one_version_each() -> None:
    template = TemplateFactory.create()
    start = threading.Barrier(4)
    errors: list[Exception] = []

    def save(number: int) -> None:
        start.wait()
        try:
            own = Template.objects.get(pk=template.pk)
            save_version(template=own, by=None, subject=f"By {number}", html="<p>", text="")
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    savers = [threading.Thread(target=save, args=[number]) for number in range(4)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert errors == []
    numbers = list(template.versions.order_by("number").values_list("number", flat=True))
    assert numbers == [1, 2, 3, 4, 5]
    template.refresh_from_db()
    assert template.current_version.number == 5


def test_sample_has_a_plausible_value_for_every_variable_that_a_caller_gives() -> None:
    template = TemplateFactory.create(
        version__subject="{{.API.order_number}}",
        version__html="<a href='{{.API.link}}'>{{.API.first_name}}</a> {{.Subscriber.Email}}",
        version__text="{{.API.shipping_method}} {{ UnsubscribeURL . }}",
    )
    assert sample_values(template.current_version) == {
        "first_name": "Ann",
        "link": "https://example.com/",
        "order_number": 1042,
        "shipping_method": "shipping method",
    }


def test_preview_is_the_mail_with_values_escaped_in_html_only() -> None:
    template = TemplateFactory.create()
    shown = preview(version=template.current_version, attribs={"name": "<b>Ann</b>"})
    assert shown.subject == "Hello <b>Ann</b>"
    assert "Hello &lt;b&gt;Ann&lt;/b&gt;" in shown.html
    assert "Hello" in shown.text


def test_preview_of_what_grows_too_large_says_so() -> None:
    template = TemplateFactory.create(version__html="{{.API.name}}" * 200)
    with pytest.raises(RenderingError):
        preview(version=template.current_version, attribs={"name": "x" * 8192})
