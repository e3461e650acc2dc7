"""Make the roles viewer, operator and owner: groups of Django with permissions to begin with.

A role is given each permission once. What an owner takes from a group, gives to it, renames or
deletes stays so, whatever migrations come after.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission
from django.db import transaction

from guard.models import Role, RoleGrant

# Whose records every role may look at.
APPS = ("apikeys", "sending", "tracking", "unsubscribe", "stats", "hygiene", "guard")
# What decides who may do what, and is for owners alone, be it only to look at.
PEOPLE = {"auth.user", "auth.group"}
READ_THE_LOG = "admin.view_logentry"
# What keeps mail flowing. Not here: keys, the servers that mail leaves by, people.
OPERATOR_MAY = {
    "guard.change_alert",
    "hygiene.add_run",
    "hygiene.change_run",
    "sending.add_limit",
    "sending.add_senderdomain",
    "sending.add_suppression",
    "sending.add_template",
    "sending.add_warmup",
    "sending.change_limit",
    "sending.change_message",
    "sending.change_senderdomain",
    "sending.change_template",
    "sending.change_warmup",
    "sending.delete_limit",
    "sending.delete_slowdown",
    "sending.delete_suppression",
    "sending.delete_warmup",
    "unsubscribe.add_pagewording",
    "unsubscribe.change_pagewording",
    "unsubscribe.delete_pagewording",
}


def grant_new(app_config: AppConfig, using: str, **kwargs: Any) -> None:
    """Give the roles the permissions of an app that they were never given before. Idempotent."""
    if app_config.label not in (*APPS, "auth", "admin") or not _is_migrated(kwargs):
        return
    permissions = list(
        Permission.objects.using(using)
        .filter(content_type__app_label=app_config.label)
        .select_related("content_type")
    )
    granted = set(RoleGrant.objects.using(using).values_list("role", "permission"))
    for role in Role:
        new = {
            name: permission
            for permission in permissions
            if (role.value, name := _name(permission)) not in granted
            and may(role, name, model=_model(permission))
        }
        if new:
            _grant(role, new, is_first=role.value not in {one for one, _ in granted}, using=using)


def _is_migrated(signal: dict[str, Any]) -> bool:
    """Tell whether this app has its tables: a migration may be of one app alone, or backwards."""
    state = signal.get("apps") or apps
    return bool(state.is_installed("guard") and "rolegrant" in state.all_models["guard"])


def may(role: Role, name: str, *, model: str) -> bool:
    """Tell whether a role begins with the permission `name`, which is about `model`."""
    app, _, codename = name.partition(".")
    if role == Role.OWNER:
        return app in APPS or model in PEOPLE or name == READ_THE_LOG
    if app not in APPS:
        return False
    return codename.startswith("view_") or (role == Role.OPERATOR and name in OPERATOR_MAY)


def _grant(role: Role, new: dict[str, Permission], *, is_first: bool, using: str) -> None:
    with transaction.atomic(using=using):
        groups = Group.objects.using(using)
        if is_first:
            group, _ = groups.get_or_create(name=role.value)
        else:
            found = groups.filter(name=role.value).first()
            if found is None:  # an owner renamed or deleted it
                return
            group = found
        group.permissions.add(*new.values())
        RoleGrant.objects.using(using).bulk_create(
            [RoleGrant(role=role, permission=name) for name in new], ignore_conflicts=True
        )


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _model(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.content_type.model}"
