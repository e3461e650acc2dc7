"""Read who asks for a page, and what they may do, in two statements instead of four."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q


class People(ModelBackend):
    """Django's own accounts and rights; every page of the dashboard begins with these."""

    def get_user(self, user_id: Any) -> Any:
        """Return the person, their second factor too; None when the account is gone or closed."""
        user = User.objects.select_related("second_factor").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the rights of an active person, their own and those of their groups."""
        if user_obj.is_superuser or not user_obj.is_active or user_obj.is_anonymous or obj:
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "_perm_cache"):
            own = User.user_permissions.through.objects.filter(user=user_obj)
            shared = Group.permissions.through.objects.filter(group__user=user_obj)
            rights = Permission.objects.order_by().filter(
                Q(pk__in=own.values("permission")) | Q(pk__in=shared.values("permission"))
            )
            named = rights.values_list("content_type__app_label", "codename")
            user_obj._perm_cache = {f"{app}.{name}" for app, name in named}
        found: set[str] = user_obj._perm_cache
        return found
