"""The pages on which people show, set up and change their second factor."""

from __future__ import annotations

import math
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminTextInputWidget

from apikeys import pacing
from guard import second_factor
from guard.models import SecondFactor
from guard.second_factor import SESSION_KEY

TRIES_PER_MINUTE = 5


class PasswordForm(forms.Form):
    """One field, in which apps and browsers know to fill the one-time password."""

    password = forms.CharField(
        label="One-time password",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
        ),
    )

    def refuse(self, why: str) -> None:
        """Show why it was not taken."""
        self.add_error("password", why)


@never_cache
@sensitive_post_parameters("password")
def ask(request: HttpRequest) -> HttpResponse:
    """Ask who has given the password for the second factor; the way in when it is right."""
    user: Any = getattr(request, "half_signed_in", None)
    factor = second_factor.factor_of(user) if user else None
    if factor is None:
        return HttpResponseRedirect(_next(request))
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _is_right(form, factor):
        request.session.cycle_key()
        request.session[SESSION_KEY] = factor.pk
        return HttpResponseRedirect(_next(request))
    return _page(request, "ask", form=form, title="Second factor", person=user.get_username())


@never_cache
@sensitive_post_parameters("password")
def set_up(request: HttpRequest) -> HttpResponse:
    """Show the secret to the person's app, and let it count once the app has proven to have it."""
    user: Any = getattr(request, "half_signed_in", request.user)
    if not user.is_authenticated:
        return HttpResponseRedirect(reverse("admin:login"))
    if second_factor.factor_of(user):
        return HttpResponseRedirect(reverse("second-factor-change"))
    factor = second_factor.begin(user, now=timezone.now())
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _may_try(form, user):
        codes = second_factor.confirm(factor, form.cleaned_data["password"], now=timezone.now())
        if codes is not None:
            request.session.cycle_key()
            request.session[SESSION_KEY] = factor.pk
            log_own_act(user, "Set up a second factor.")
            return _page(request, "codes", title="Recovery codes", codes=codes)
        form.refuse("That is not the password that the app shows now. Is its clock right?")
    return _page(
        request,
        "set_up",
        form=form,
        title="Set up a second factor",
        picture=mark_safe(second_factor.picture(factor)),  # noqa: S308 - made here, of letters
        secret=factor.secret,
        is_required=settings.REQUIRE_SECOND_FACTOR,
    )


@never_cache
@sensitive_post_parameters("password")
def change(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes, or take the second factor away; both ask for a password of it."""
    user: Any = request.user
    if not user.is_authenticated:
        return HttpResponseRedirect(reverse("admin:login"))
    factor = second_factor.factor_of(user)
    if factor is None:
        return HttpResponseRedirect(reverse("second-factor-set-up"))
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _is_right(form, factor):
        if "remove" in request.POST and not settings.REQUIRE_SECOND_FACTOR:
            second_factor.remove(user)
            log_own_act(user, "Took their second factor away.")
            messages.success(request, "You are asked for your password alone from now on.")
            return HttpResponseRedirect(reverse("admin:index"))
        log_own_act(user, "Made new recovery codes.")
        codes = second_factor.renew_codes(factor)
        return _page(request, "codes", title="Recovery codes", codes=codes)
    return _page(
        request,
        "change",
        form=form,
        title="Second factor",
        codes_left=second_factor.codes_left(factor),
        is_required=settings.REQUIRE_SECOND_FACTOR,
    )


def _is_right(form: PasswordForm, factor: SecondFactor) -> bool:
    if not _may_try(form, factor.user):
        return False
    if second_factor.check(factor, form.cleaned_data["password"], now=timezone.now()):
        return True
    form.refuse("That is not right, or was used already. Wait for the next one of your app.")
    return False


def _may_try(form: PasswordForm, user: Any) -> bool:
    """Count the try; say so when there were too many. Six digits are soon found by trying."""
    name = f"second-factor:{user.pk}"
    wait_ms = pacing.limiter().take(name, per_second=TRIES_PER_MINUTE / 60, burst=TRIES_PER_MINUTE)
    if wait_ms:
        form.refuse(f"Too many tries. Wait {math.ceil(wait_ms / 1000)} s, then try again.")
    return not wait_ms


def _next(request: HttpRequest) -> str:
    asked = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if is_ours else reverse("admin:index")


def _page(request: HttpRequest, name: str, **facts: Any) -> HttpResponse:
    context = admin.site.each_context(request) | facts
    return render(request, f"guard/second_factor/{name}.html", context)


def log_own_act(user: Any, text: str) -> None:
    """Write into the admin log what a person changed about themselves."""
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr=str(user),
        action_flag=CHANGE,
        change_message=text,
    )
