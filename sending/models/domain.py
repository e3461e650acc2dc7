"""Define the domains that mail may be sent from."""

from __future__ import annotations

from django.db import models

from sending.encryption import EncryptedTextField


class SenderDomain(models.Model):
    """A domain whose addresses may be used as sender, with the key that signs its mail (RFC 6376).

    `return_path_domain`: where bounces go, if this installation receives them (RFC 5321 section
    4.4). `tracking_domain`: the host in tracked links of its mail; empty: that of PUBLIC_URL.
    `checked_at` and `findings` hold the last look at the DNS.
    """

    domain = models.CharField(max_length=253, unique=True)
    is_active = models.BooleanField(default=True)
    dkim_selector = models.CharField("DKIM selector", max_length=63, default="bm1")
    dkim_private_key = EncryptedTextField(blank=True, editable=False)
    dkim_dns_value = models.TextField(blank=True, editable=False)
    is_dkim_active = models.BooleanField(
        "Sign with DKIM",
        default=False,
        help_text="Switch on when the DNS record is published; until then receivers would fail it.",
    )
    return_path_domain = models.CharField(max_length=253, blank=True)
    tracking_domain = models.CharField(
        max_length=253,
        blank=True,
        help_text="Such as links.example.com: stands in tracked links. Empty: this server's name.",
    )
    checked_at = models.DateTimeField(null=True, editable=False)
    findings = models.JSONField(default=list, editable=False)

    def __str__(self) -> str:
        return self.domain
