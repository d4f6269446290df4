"""How far each principal sees."""

import pytest

from api.access.visibility import Visibility
from api.domain.access import LOCAL, NOBODY, ROLE_PERMISSIONS, Credential, Permission, Principal, Role
from api.domain.sight import WHOLE, Sight

TEAM, OWN = Visibility(hides_others=False), Visibility(hides_others=True)


def someone(*permissions: Permission, role: Role | None = None) -> Principal:
    granted = frozenset(permissions) if role is None else ROLE_PERMISSIONS[role]
    return Principal("ann", role, granted, Credential.KEY, "k1")


@pytest.mark.parametrize("role", list(Role))
def test_in_a_team_every_role_sees_everything(role: Role):
    assert TEAM.sight_of(someone(role=role)) is WHOLE


def test_where_others_are_hidden_only_administrators_see_them():
    assert OWN.sight_of(someone(role=Role.ADMIN)) is WHOLE
    for role in (Role.TRAINER, Role.VIEWER):
        assert OWN.sight_of(someone(role=role)) == Sight("ann", sees_all=False, sees_commands=True)


def test_whoever_may_read_any_task_needs_no_role_for_it():
    reader = someone(Permission.TASKS_READ_ANY)
    assert OWN.sight_of(reader) == Sight(None, sees_all=True, sees_commands=False)


def test_without_keys_everything_is_seen():
    assert OWN.sight_of(LOCAL) is WHOLE


def test_nobody_sees_nothing_of_anybody():
    sight = OWN.sight_of(NOBODY)
    assert not any((sight.sees(None), sight.sees("nobody"), sight.sees_command(None)))
    assert sight.only_of == ""


def test_what_belongs_to_nobody_only_those_see_who_see_all():
    assert not OWN.sight_of(someone(role=Role.TRAINER)).sees(None)
    assert WHOLE.sees(None)


def test_the_least_sight_of_a_task_is_its_owners_without_command_lines():
    assert OWN.least_sight_of("ann") == Sight("ann", sees_all=False, sees_commands=False)
    assert TEAM.least_sight_of("ann") == Sight(None, sees_all=True, sees_commands=False)
