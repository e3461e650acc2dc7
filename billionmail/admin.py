"""Show people and groups in the look of the other pages, and our own first page."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from guard import second_factor
from guard.views import log_own_act


def _changed_own_password(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Let a person change their password, and write that into the log."""
    response = _change_own_password(request, **kwargs)
    if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
        log_own_act(request.user, "Changed their own password.")
    return response


_change_own_password = admin.site.password_change
admin.site.password_change = _changed_own_password  # type: ignore[method-assign, assignment]
admin.site.index_title = "Dashboard"
admin.site.index_template = "billionmail/home.html"
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """The people who may sign in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_active", "second_factor")
    list_select_related = ("second_factor",)
    actions = ("take_second_factor",)

    @display(description="Second factor", boolean=True)
    def second_factor(self, user: User) -> bool:
        """Tell whether the person is asked for more than the password."""
        factor = getattr(user, "second_factor", None)
        return factor is not None and factor.confirmed_at is not None

    @admin.action(description="Take the second factor away", permissions=["change"])
    def take_second_factor(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Let people in with the password alone who have lost app and codes."""
        for user in users:
            if second_factor.remove(user):
                self.log_change(request, user, "Took the second factor away.")
                messages.success(request, f"{user} is asked for the password alone from now on.")
            else:
                messages.warning(request, f"{user} has no second factor.")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Rights that are given to several people at once."""
