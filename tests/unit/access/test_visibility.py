"""The scope of each principal."""

import pytest

from api.access.visibility import Visibility
from api.domain.access import ANONYMOUS, LOCAL, ROLE_PERMISSIONS, Credential, Permission, Principal, Role
from api.domain.read_scope import WHOLE, ReadScope

TEAM, OWN = Visibility(hides_others=False), Visibility(hides_others=True)


def someone(*permissions: Permission, role: Role | None = None) -> Principal:
    granted = frozenset(permissions) if role is None else ROLE_PERMISSIONS[role]
    return Principal("ann", role, granted, Credential.KEY, "k1")


@pytest.mark.parametrize("role", list(Role))
def test_in_a_team_every_role_sees_everything(role: Role):
    assert TEAM.scope_of(someone(role=role)) is WHOLE


def test_only_administrators_see_hidden_tasks():
    assert OWN.scope_of(someone(role=Role.ADMIN)) is WHOLE
    for role in (Role.TRAINER, Role.VIEWER):
        assert OWN.scope_of(someone(role=role)) == ReadScope("ann", sees_all=False, sees_commands=True)


def test_permission_to_read_all_tasks_needs_no_role():
    reader = someone(Permission.TASKS_READ_ANY)
    assert OWN.scope_of(reader) == ReadScope(None, sees_all=True, sees_commands=False)


def test_without_keys_everything_is_visible():
    assert OWN.scope_of(LOCAL) is WHOLE


def test_unauthenticated_caller_sees_nothing():
    scope = OWN.scope_of(ANONYMOUS)
    assert not any((scope.sees(None), scope.sees("nobody"), scope.sees_command(None)))
    assert scope.only_of == ""


def test_task_without_an_owner_is_visible_only_with_full_scope():
    assert not OWN.scope_of(someone(role=Role.TRAINER)).sees(None)
    assert WHOLE.sees(None)


def test_minimum_scope_of_a_task_is_its_owners_without_command_lines():
    assert OWN.minimum_scope_of("ann") == ReadScope("ann", sees_all=False, sees_commands=False)
    assert TEAM.minimum_scope_of("ann") == ReadScope(None, sees_all=True, sees_commands=False)
