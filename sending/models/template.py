"""Define templates: a name that keys point to, and the versions that messages are pinned to."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Template(models.Model):
    """A named mail. What is sent is its current version; a disabled one accepts no mail."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    current_version = models.ForeignKey(
        "sending.TemplateVersion",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """One wording of a template, never changed: a correction is a new version.

    `text` empty: the text part is made from the HTML.
    """

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    subject = models.CharField(max_length=500)
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )

    class Meta:
        """A version is known by its number, and has something to say."""

        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="version_number_is_unique"),
            models.CheckConstraint(
                name="version_has_a_body", condition=~models.Q(html="", text="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template} v{self.number}"
