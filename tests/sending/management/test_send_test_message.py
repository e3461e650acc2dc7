"""The command sends one real mail and tells the truth about it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from apikeys.models import ApiKey
from sending.management.commands import send_test_message
from sending.models import Message, Route, Status, Suppression, Template
from sending.suppressions import suppress
from tests.factories.sending import SendingProfileFactory
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a worker: there is none."""
    monkeypatch.setattr(send_test_message, "WAIT_SECONDS", 0.2)


@pytest.fixture
def key(route: Route) -> ApiKey:
    return SendingProfileFactory.create(route=None, api_key__name="Shop").api_key


def run(**options: Any) -> str:
    told = io.StringIO()
    call_command("send_test_message", stdout=told, no_color=True, **options)
    return told.getvalue()


def test_template_of_the_only_key_is_sent_and_the_reply_is_told(key: ApiKey, sink: Sink) -> None:
    told = run(to=ANN, attribs='{"name": "Ann"}')
    message = Message.objects.get()
    assert sink.messages[0]["Subject"] == "Hello Ann"
    assert str(message.id) in told
    assert "250 2.0.0" in told
    assert "Status: sent." in told


def test_files_become_a_version_of_the_test_template(
    key: ApiKey, sink: Sink, tmp_path: Path
) -> None:
    html = tmp_path / "mail.html"
    html.write_text("<p>Grüße, {{.API.name}}</p>", encoding="utf-8")
    run(to=ANN, html=str(html), subject="Look", attribs='{"name": "Ann"}')
    html.write_text("<p>Again</p>", encoding="utf-8")
    run(to=ANN, html=str(html))
    first, second = sink.messages
    assert first["Subject"] == "Look"
    assert "Grüße, Ann" in first.get_body(("html",)).get_content()
    assert second["Subject"] == send_test_message.SUBJECT
    assert Template.objects.get(slug="test-messages").versions.count() == 2
    assert key.sending_profile.template.slug != "test-messages"


def test_refused_mail_is_an_error_with_the_words_of_the_server(key: ApiKey, sink: Sink) -> None:
    sink.replies[ANN] = "550 5.1.1 No such user here"
    with pytest.raises(CommandError, match=r"bounced.*No such user here"):
        run(to=ANN)
    assert Message.objects.get().status == Status.BOUNCED


def test_suppressed_recipient_is_refused_with_the_reason(key: ApiKey) -> None:
    suppress(ANN, reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now())
    with pytest.raises(CommandError, match="unsubscribed"):
        run(to=ANN)


def test_several_keys_have_to_be_told_apart(key: ApiKey, sink: Sink) -> None:
    SendingProfileFactory.create(route=None, api_key__name="Newsletter")
    with pytest.raises(CommandError, match="Newsletter, Shop"):
        run(to=ANN)
    with pytest.raises(CommandError, match="Newsletter, Shop"):
        run(to=ANN, key="Nobody")
    assert not Message.objects.exists()
    run(to=ANN, key="Shop")
    assert Message.objects.get().api_key == key


def test_without_a_key_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="Create one in the dashboard"):
        run(to=ANN)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"to": "ann"}, "has no @"),
        ({"to": ANN, "attribs": "{"}, "not JSON"),
        ({"to": ANN, "attribs": "[1]"}, "must be an object"),
        ({"to": ANN, "subject": "Hi"}, "needs --html or --text"),
        ({"to": ANN, "text": "/no/such/file"}, "cannot be read"),
    ],
)
def test_wrong_use_is_explained_and_sends_nothing(
    key: ApiKey, options: dict[str, str], fault: str
) -> None:
    with pytest.raises(CommandError, match=fault):
        run(**options)
    assert not Message.objects.exists()


def test_template_error_in_a_file_is_named_by_its_place(key: ApiKey, tmp_path: Path) -> None:
    text = tmp_path / "mail.txt"
    text.write_text("one\n{{ if }}", encoding="utf-8")
    with pytest.raises(CommandError, match="text: Line 2, column"):
        run(to=ANN, text=str(text))
    assert not Template.objects.filter(slug="test-messages").exists()
