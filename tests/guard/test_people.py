"""A person may do what their account and groups say at this moment, as Django itself would tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.test import Client

from guard.models import Role
from guard.people import People

pytestmark = pytest.mark.django_db

MESSAGES = "/admin/sending/message/"


def person(**fields: bool) -> User:
    """Return somebody with rights of their own and by two groups, some of them twice."""
    user = User.objects.create_user("ann", **{"is_staff": True, **fields})
    view, add, change = (
        Permission.objects.get(codename=f"{word}_route") for word in ("view", "add", "change")
    )
    user.user_permissions.add(view, add)
    for name, rights in (("one", [view, change]), ("other", [change])):
        group = Group.objects.create(name=name)
        group.permissions.add(*rights)
        user.groups.add(group)
    stranger = Group.objects.create(name="strangers")
    stranger.permissions.add(Permission.objects.get(codename="delete_route"))
    return user


@pytest.mark.parametrize(
    ("fields", "number"),
    [({}, 3), ({"is_active": False}, 0), ({"is_superuser": True, "is_active": False}, 0)],
)
def test_rights_are_those_of_the_account_and_its_groups(
    fields: dict[str, bool], number: int
) -> None:
    user = person(**fields)
    found = People().get_all_permissions(user)
    assert len(found) == number
    assert found == ModelBackend().get_all_permissions(User.objects.get(pk=user.pk))
    assert user.has_perm("sending.change_route") == bool(number)
    assert not user.has_perm("sending.delete_route")
    assert user.has_module_perms("sending") == bool(number)


def test_superuser_has_every_right() -> None:
    user = person(is_superuser=True)
    found = People().get_all_permissions(user)
    assert found == ModelBackend().get_all_permissions(User.objects.get(pk=user.pk))
    assert len(found) == Permission.objects.count()
    assert user.has_perm("sending.delete_route")


def test_nobody_has_rights_to_one_object_and_a_stranger_has_none() -> None:
    user = person()
    assert People().get_all_permissions(user, obj=user) == set()
    assert People().get_all_permissions(AnonymousUser()) == set()


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(user: User) -> None:
    user.delete()


@pytest.mark.parametrize("leave", [deactivate, delete])
def test_session_ends_with_the_account(client: Client, leave: Callable[[User], None]) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    user.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(user)
    assert client.get(MESSAGES).status_code == 200
    leave(user)
    assert get_user(client).is_anonymous
    answer = client.get(MESSAGES)
    assert (answer.status_code, "/login/" in answer["Location"]) == (302, True)


def test_right_that_is_taken_away_is_gone_with_the_next_request(client: Client) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    viewer = Group.objects.get(name=Role.VIEWER)
    view = Permission.objects.get(codename="view_message")
    user.groups.add(viewer)
    user.user_permissions.add(view)
    client.force_login(user)
    assert client.get(MESSAGES).status_code == 200
    user.user_permissions.remove(view)
    assert client.get(MESSAGES).status_code == 200
    viewer.permissions.remove(view)
    assert client.get(MESSAGES).status_code == 403
    viewer.permissions.add(view)
    assert client.get(MESSAGES).status_code == 200
    user.groups.remove(viewer)
    assert client.get(MESSAGES).status_code == 403
