"""Hold what recipients said, and the words in which they are asked."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sending.models import Message, SenderDomain


class Unsubscribe(models.Model):
    """A recipient's no: by which mail, when, how it was said, and why if they told.

    `resubscribed_at`: when the same recipient took it back.
    """

    class Method(models.TextChoices):
        """How it was said."""

        ONE_CLICK = "one-click", "One click in the mail program (RFC 8058)"
        PAGE = "page", "Button on the page"
        MAIL = "mail", "Mail to the unsubscribe address (RFC 2369)"

    class Why(models.TextChoices):
        """What people may choose from."""

        TOO_MANY = "too-many", _("Too many mails")
        NOT_RELEVANT = "not-relevant", _("Not of interest")
        NEVER_ASKED = "never-asked", _("Never asked for them")
        OTHER = "other", _("Something else")

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True)
    method = models.CharField(max_length=10, choices=Method.choices)
    created_at = models.DateTimeField()
    why = models.CharField(
        max_length=12, choices=Why.choices, blank=True, default="", db_default=""
    )
    resubscribed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.message_id} by {self.method}"


class PageWording(models.Model):
    """The words and the logo of the unsubscribe page for mail from one domain, in one language.

    Whatever is empty is as it would be without. `logo` is a data URL (RFC 2397), because the page
    loads nothing from anywhere.
    """

    sender_domain = models.ForeignKey(
        SenderDomain, on_delete=models.CASCADE, related_name="page_wordings"
    )
    language = models.CharField(
        max_length=10,
        choices=settings.LANGUAGES,
        blank=True,
        help_text="Empty: for every language that has no words of its own.",
    )
    sender_name = models.CharField(
        max_length=100, blank=True, help_text="Whose mail it is. Empty: the name in the mail."
    )
    logo = models.TextField(blank=True, editable=False)
    question = models.CharField(max_length=200, blank=True, help_text="The heading of the page.")
    explanation = models.TextField(max_length=1000, blank=True)
    button = models.CharField(max_length=60, blank=True)
    done = models.TextField("What is said afterwards", max_length=1000, blank=True)

    class Meta:
        verbose_name = "unsubscribe page"
        constraints = [
            models.UniqueConstraint(
                fields=["sender_domain", "language"], name="page_is_worded_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sender_domain} ({self.get_language_display() or 'every language'})"
