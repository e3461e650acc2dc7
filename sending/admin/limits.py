"""The pages of the limits: what is configured, what is used of it, what slowed down by itself."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.decorators import action, display
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextareaWidget

from sending import commands
from sending.admin.base import OperatorAdmin
from sending.commands.domains import normal_domain
from sending.models import Limit, Message, SlowDown, Status, WarmUp
from sending.models.limit import EACH
from sending.pacing import usage
from sending.pacing.providers import DOMAINS, PROVIDERS
from sending.pacing.rules import utc_date

MOST_SHOWN = 1000


def _sender_domain(given: str) -> str:
    return given if given in ("", EACH) else _normal(given, field="sender_domain")


def _provider(given: str) -> str:
    """Return a provider as mail is counted by it; a well-known domain is its provider's."""
    name = given.strip().casefold()
    if name in ("", EACH) or name in PROVIDERS:
        return name
    if name in DOMAINS:
        return DOMAINS[name]
    if "." not in name:
        raise ValidationError(
            f"{given} is no provider that is known. Give a recipient's domain, such as "
            f"example.com, or one of: {', '.join(sorted(PROVIDERS))}."
        )
    return _normal(name, field="provider")


def _normal(domain: str, *, field: str) -> str:
    try:
        return normal_domain(domain, field=field)
    except ValidationError as error:
        raise ValidationError(error.messages) from None


class LimitForm(forms.ModelForm):
    """Edit a limit; the names are stored as mail is looked up by them."""

    class Meta:
        model = Limit
        fields = (
            "messages",
            "period",
            "burst",
            "is_active",
            "provider",
            "sender_domain",
            "api_key",
            "route",
        )

    def clean_sender_domain(self) -> str:
        """Return the domain as it stands in addresses, or what stands for each."""
        return _sender_domain(self.cleaned_data["sender_domain"].strip())

    def clean_provider(self) -> str:
        """Return the provider, or what stands for each."""
        return _provider(self.cleaned_data["provider"])

    def clean(self) -> dict[str, Any]:
        """Refuse a burst where it means nothing."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("burst") and cleaned.get("period") == Limit.Period.DAY:
            self.add_error("burst", "A limit of a day has no burst: leave it empty.")
        return cleaned


class WarmUpForm(forms.ModelForm):
    """Edit a warm-up; its days are written as numbers, one after the other."""

    days = forms.CharField(
        label="Messages a day",
        widget=UnfoldAdminTextareaWidget({"rows": 6}),
        help_text="One number for each day, with blanks, commas or new lines between them, such as "
        "50, 100, 200, 400, 800. After the last day there is no limit.",
    )

    class Meta:
        model = WarmUp
        fields = ("sender_domain", "provider", "start_date", "days", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["days"] = ", ".join(str(one) for one in self.instance.days)

    def clean_sender_domain(self) -> str:
        """Return the domain as it stands in addresses."""
        return _normal(self.cleaned_data["sender_domain"], field="sender_domain")

    def clean_provider(self) -> str:
        """Return the provider, or what stands for each."""
        return _provider(self.cleaned_data["provider"])

    def clean_days(self) -> list[int]:
        """Return the numbers; say which word is none."""
        words = [word for word in re.split(r"[\s,;]+", self.cleaned_data["days"]) if word]
        wrong = [word for word in words if not (word.isascii() and word.isdecimal())]
        if wrong:
            raise ValidationError(f"{wrong[0]!r} is no number of messages.")
        return [int(word) for word in words]


class _PacingAdmin(OperatorAdmin):
    """What is saved or deleted here lets the messages that wait ask again."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store it, and say what that sets going."""
        _tell(request, commands.save_limit(limit=obj))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete it, and say what that sets going."""
        _tell(request, commands.delete_limit(limit=obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Do as `delete_model`, for the selected ones."""
        _tell(request, sum(commands.delete_limit(limit=obj) for obj in queryset))


class LimitList(ChangeList):
    """The rows of one page, each with how much of it is used."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows, and the use of all of them at once."""
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        used = usage.of_limits(rows, now=timezone.now())
        for row in rows:
            row.use_now = used[row.pk]
        self.result_list = rows


@admin.register(Limit)
class LimitAdmin(_PacingAdmin):
    """So many messages in so much time."""

    form = LimitForm
    list_display = ("limit", "state", "use", "burst")
    list_select_related = ("api_key", "route")
    ordering = ("id",)
    autocomplete_fields = ("api_key", "route")
    list_before_template = "sending/limits.html"
    fieldsets = (
        (None, {"fields": (("messages", "period"), ("burst", "is_active"))}),
        (
            "Which mail",
            {
                "fields": (("provider", "sender_domain"), ("api_key", "route")),
                "description": "The limit is for all mail that fits what is given here, together. "
                "Nothing given: for all mail there is.",
            },
        ),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Show with each row what is used of it."""
        return LimitList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add what waits, what warms up and what slowed down by itself."""
        now = timezone.now()
        waiting = Message.objects.filter(status=Status.DEFERRED, is_limited=True)
        slow_downs = SlowDown.objects.select_related("route").order_by("-changed_at")
        context = {
            "waiting": waiting[: MOST_SHOWN + 1].count(),
            "most_shown": MOST_SHOWN,
            "slow_downs": [
                (one, f"{rate:.3g}") for one in slow_downs if (rate := one.rate(now)) is not None
            ],
            "plans": [
                (plan, _day_of(plan), usage.of_warm_up(plan, now=now))
                for plan in WarmUp.objects.filter(is_active=True).order_by("sender_domain")
            ],
        }
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description="Limit")
    def limit(self, limit: Limit) -> str:
        """Show the limit as a sentence."""
        return str(limit)

    @display(description="State", label={"active": "success", "off": ""})
    def state(self, limit: Limit) -> str:
        """Show in a word whether it holds."""
        return "active" if limit.is_active else "off"

    @display(description="In use")
    def use(self, limit: Any) -> str:
        """Show how much of it is used now."""
        return limit.use_now


@admin.register(WarmUp)
class WarmUpAdmin(_PacingAdmin):
    """A plan, day by day, for a sender domain that a provider does not know yet."""

    form = WarmUpForm
    list_display = ("plan", "state", "start_date", "day", "use")
    ordering = ("sender_domain", "provider")
    fieldsets = (
        (None, {"fields": (("sender_domain", "provider"), ("start_date", "is_active"), "days")}),
    )

    @display(description="Warm-up")
    def plan(self, plan: WarmUp) -> str:
        """Show whose it is."""
        return str(plan)

    @display(description="State", label={"active": "success", "off": ""})
    def state(self, plan: WarmUp) -> str:
        """Show in a word whether it holds."""
        return "active" if plan.is_active else "off"

    @display(description="Day")
    def day(self, plan: WarmUp) -> str:
        """Show how far it is."""
        return _day_of(plan)

    @display(description="In use")
    def use(self, plan: WarmUp) -> str:
        """Show how much of the day is used."""
        return usage.of_warm_up(plan, now=timezone.now())


@admin.register(SlowDown)
class SlowDownAdmin(OperatorAdmin):
    """What slowed down because the other side asked for it; it recovers by itself."""

    list_display = ("who", "rate", "full", "changed_at", "reply")
    list_select_related = ("route",)
    ordering = ("-changed_at",)
    actions_detail = ("end",)
    fields = readonly_fields = ("who", "rate", "full", "changed_at", "reply")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: it comes by itself. A rate of one's own is a limit."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: it is ended, not edited."""
        return False

    def has_end_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow to whom Django gives the right to delete it."""
        return self.is_permitted(request, "delete")

    @display(description="Who")
    def who(self, slow_down: SlowDown) -> str:
        """Show the provider or the route."""
        return str(slow_down)

    @display(description="Messages a second now")
    def rate(self, slow_down: SlowDown) -> str:
        """Show what it has recovered to."""
        rate = slow_down.rate(timezone.now())
        return "full again" if rate is None else f"{rate:.3g}"

    @display(description="Until they are")
    def full(self, slow_down: SlowDown) -> str:
        """Show the rate at which it ends."""
        return f"{slow_down.full_per_second:.3g}"

    @action(description="End it now", url_path="end", icon="speed", permissions=["end"])
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then send at the full rate again."""
        slow_down = self.find(request, object_id, permission="delete")
        if request.method != "POST":
            return self.confirm(
                request,
                slow_down,
                title="End the slow-down",
                question=f"Mail to {slow_down} leaves at the full rate again. If that is still too "
                "fast, it is slowed down again.",
                button="End it now",
            )
        self.log_deletions(request, [slow_down])
        _tell(request, commands.end_slow_down(slow_down=slow_down))
        return HttpResponseRedirect(self.url("changelist"))


def _day_of(plan: WarmUp) -> str:
    number = plan.day_number(utc_date(timezone.now()))
    if number < 1:
        return f"begins {plan.start_date:%Y-%m-%d}"
    return "over" if number > len(plan.days) else f"{number} of {len(plan.days)}"


def _tell(request: HttpRequest, waiting: int) -> None:
    if waiting:
        messages.info(request, f"{waiting} messages that waited for a limit ask again now.")
